import FoundationEssentials
import TokenExchange
import Tokens
import UpstreamHTTP

/// The wire of the IAM Credentials API, v1.
enum IAMCredentials {
    struct AccessTokenRequest: Encodable {
        var scope: [String]
        /// The most that every project allows.
        var lifetime = "3600s"
    }

    struct IdentityTokenRequest: Encodable {
        var audience: String
        /// GKE's identity tokens carry the e-mail address.
        var includeEmail = true
    }

    /// The path of a method on a service account. The `-` stands for the account's project and is required.
    static func path(_ account: GoogleServiceAccountName, _ method: String) -> String {
        "/v1/projects/-/serviceAccounts/\(account.pathSegment):\(method)"
    }

    static func accessToken(from answer: UpstreamResponse) throws(UpstreamFailure) -> UpstreamToken {
        guard let wire = try? JSONDecoder().decode(AccessTokenResponse.self, from: Data(answer.body)) else {
            throw .unusable(.iamCredentials, answer, "the answer is no access token: not the JSON that was expected")
        }
        guard let end = UnixInstant(rfc3339: wire.expireTime) else {
            throw .unusable(.iamCredentials, answer, "the access token's expireTime is no RFC 3339 time")
        }
        let lifetime = end - (answer.date ?? .now())
        return try UpstreamToken(.iamCredentials, answer, token: wire.accessToken, lifetime: lifetime)
    }

    /// The answer names no lifetime; the token's own `exp` does.
    static func identityToken(from answer: UpstreamResponse) throws(UpstreamFailure) -> UpstreamToken {
        guard let wire = try? JSONDecoder().decode(IdentityTokenResponse.self, from: Data(answer.body)) else {
            throw .unusable(.iamCredentials, answer, "the answer is no identity token: not the JSON that was expected")
        }
        // Years beyond any token, and far from overflow.
        guard let claims = JWTClaims.decode(ExpiryClaim.self, from: wire.token), (0...1 << 40).contains(claims.exp)
        else {
            throw .unusable(.iamCredentials, answer, "the identity token is no JWT with an exp claim")
        }
        let lifetime = UnixInstant(seconds: claims.exp) - (answer.date ?? .now())
        return try UpstreamToken(.iamCredentials, answer, token: wire.token, lifetime: lifetime)
    }

    private struct AccessTokenResponse: Decodable {
        var accessToken: String
        var expireTime: String
    }

    private struct IdentityTokenResponse: Decodable {
        var token: String
    }

    private struct ExpiryClaim: Decodable {
        var exp: Int64
    }
}

extension UpstreamToken {
    /// The life that is asked for, and the most that is believed.
    private static let lifetimeLimit = Duration.seconds(3600)

    /// A token that is fit to be handed on and lives now.
    init(
        _ upstream: UpstreamFailure.Upstream, _ answer: UpstreamResponse, token: String, lifetime: Duration
    ) throws(UpstreamFailure) {
        guard isPlausibleToken(token) else {
            throw .unusable(upstream, answer, "the token is empty, too long, or has characters that no token has")
        }
        guard lifetime > .zero else { throw .unusable(upstream, answer, "the token has expired already") }
        self.init(token: SecretToken(token), lifetime: min(lifetime, Self.lifetimeLimit))
    }
}
