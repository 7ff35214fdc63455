import FoundationEssentials
import TokenExchange
import Tokens
import UpstreamHTTP

/// The wire of Google's Security Token Service: OAuth 2.0 token exchange (RFC 8693).
enum SecurityTokenService {
    static func form(subject: SubjectToken, audience: String, scopes: ScopeSet) -> String {
        PercentEncoding.form([
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": subject.token.exposed,
            "audience": audience,
            "scope": scopes.sorted.joined(separator: " "),
        ])
    }

    /// The federated token of a 200. It lives as long as `subject`, for which it was exchanged, if the answer names no
    /// life.
    static func token(from answer: UpstreamResponse, subject: SubjectToken) throws(UpstreamFailure) -> UpstreamToken {
        guard let wire = try? JSONDecoder().decode(Answer.self, from: Data(answer.body)) else {
            throw .unusable(.securityTokenService, answer, "the answer is no token: not the JSON that was expected")
        }
        guard wire.tokenType.lowercased() == "bearer",
            wire.issuedTokenType ?? Self.accessTokenType == Self.accessTokenType
        else {
            throw .unusable(.securityTokenService, answer, "the answer is a token of another type than was asked for")
        }
        let lifetime = wire.expiresIn.map { Duration.seconds($0) } ?? subject.lifetime
        return try UpstreamToken(.securityTokenService, answer, token: wire.accessToken, lifetime: lifetime)
    }

    private static let accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

    /// Sorts an answer that is no success: the codes of RFC 6749 section 5.2 and what Google makes of them.
    static func failure(from answer: UpstreamResponse) -> UpstreamFailure {
        let wire = try? JSONDecoder().decode(OAuthError.self, from: Data(answer.body))
        guard answer.status != 429, answer.status < 500, let code = wire?.error else {
            return UpstreamFailure(google: answer, upstream: .securityTokenService)
        }
        let kind: UpstreamFailure.Kind =
            switch code {
            case "invalid_grant": .staleSubjectToken
            case "unauthorized_client", "access_denied": .denied
            case "server_error", "temporarily_unavailable", "internal_failure": .unavailable
            // invalid_request, invalid_target, invalid_scope, unsupported_grant_type, and what is new.
            default: .misconfigured
            }
        return UpstreamFailure(
            upstream: .securityTokenService,
            kind: kind,
            status: answer.status,
            message: UpstreamText.clean(wire?.errorDescription.map { "\(code): \($0)" } ?? code),
            retryAfter: answer.retryAfter()
        )
    }

    private struct Answer: Decodable {
        var accessToken: String
        var issuedTokenType: String?
        var tokenType: String
        /// Seconds.
        var expiresIn: Int32?

        enum CodingKeys: String, CodingKey {
            case accessToken = "access_token"
            case issuedTokenType = "issued_token_type"
            case tokenType = "token_type"
            case expiresIn = "expires_in"
        }
    }

    private struct OAuthError: Decodable {
        var error: String
        var errorDescription: String?

        enum CodingKeys: String, CodingKey {
            case error
            case errorDescription = "error_description"
        }
    }
}
