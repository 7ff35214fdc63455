import Attribution
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Synchronization
package import TokenExchange
package import Tokens
import UpstreamHTTP

/// Microsoft Entra ID: a pod's ServiceAccount token becomes an access token of the application or managed identity that
/// trusts the ServiceAccount by a federated credential.
package final class EntraTokenService: CloudCredentialExchanging {
    package struct Configuration: Sendable {
        /// `https://login.microsoftonline.com`, or a sovereign cloud's. Never taken from what a pod asks for.
        package var authority: String
        /// Audience of the subject tokens.
        package var audience: String
        /// PEM file of the authorities to trust instead of the system's.
        package var trustRootsPath: String?
        package var callTimeout = Duration.milliseconds(2500)
        package var userAgent: String

        package init(authority: String, audience: String, userAgent: String) {
            self.authority = authority
            self.audience = audience
            self.userAgent = userAgent
        }
    }

    package let cloud: CloudName
    /// azure-identity and object_store fetch again at each use below 5 minutes.
    package static let lifetimes = TokenServiceConfiguration.TokenPolicy()
    private let configuration: Configuration
    private let host: String
    private let options: UpstreamHTTPClient.Options
    /// The client, made by the first call: an exchange that is never used has nothing to shut down.
    private let client = Mutex<UpstreamHTTPClient?>(nil)

    package var lifetimes: TokenServiceConfiguration.TokenPolicy { Self.lifetimes }
    package var subjectAudience: SubjectAudience { .cloud(configuration.audience) }

    package init(_ cloud: CloudName, _ configuration: Configuration) throws(TokenExchangeError) {
        self.cloud = cloud
        self.configuration = configuration
        self.host = try TokenServiceEndpoint.host(of: configuration.authority, option: "authority")
        var options = try TokenServiceEndpoint.options(
            callTimeout: configuration.callTimeout, trustRootsPath: configuration.trustRootsPath)
        options.serverName = UpstreamHTTPClient.Options.dnsName(host)
        self.options = options
    }

    package func shutdown() async { await client.withLock { $0 }?.shutdown() }

    package func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken {
        guard let identity = request.identity.flatMap({ EntraIdentity($0.principal) }) else {
            throw UpstreamFailure(
                upstream: upstream, kind: .misconfigured, message: "the ServiceAccount names no client ID and tenant")
        }
        let form = PercentEncoding.form([
            "client_id": identity.clientID,
            "grant_type": "client_credentials",
            // Appended to the resource as it is: a final slash of its own stays.
            "scope": request.resource + "/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": subject.token.exposed,
        ])
        let call = UpstreamCall(
            .POST, "\(configuration.authority)/\(identity.tenant)/oauth2/v2.0/token",
            headers: [
                "content-type": "application/x-www-form-urlencoded", "accept": "application/json",
                "user-agent": configuration.userAgent,
            ],
            body: ByteBuffer(string: form))
        let answer = try await send(call)
        guard answer.isSuccess else { throw failure(from: answer) }
        return try token(from: answer, for: identity)
    }

    /// Whether the service can be reached, by name, TCP and TLS; any answer will do.
    package func reach() async -> (host: String, failure: UpstreamFailure?) {
        do throws(UpstreamFailure) {
            _ = try await send(
                UpstreamCall(.GET, configuration.authority, headers: ["user-agent": configuration.userAgent]))
            return (host, nil)
        } catch {
            return (host, error)
        }
    }

    private func send(_ call: UpstreamCall) async throws(UpstreamFailure) -> UpstreamResponse {
        do throws(TransportError) {
            return try await connected().answer(to: call)
        } catch {
            throw error.failure(of: upstream, at: host)
        }
    }

    private func connected() -> UpstreamHTTPClient {
        client.withLock { client in
            if let client { return client }
            let made = UpstreamHTTPClient(options)
            client = made
            return made
        }
    }

    private func token(
        from answer: UpstreamResponse, for identity: EntraIdentity
    ) throws(UpstreamFailure) -> UpstreamToken {
        guard let wire = try? JSONDecoder().decode(Answer.self, from: Data(answer.body)) else {
            throw .unusable(upstream, answer, "the answer is no token: not the JSON that was expected")
        }
        guard wire.tokenType.lowercased() == "bearer", isPlausibleToken(wire.accessToken), wire.expiresIn > 0 else {
            throw .unusable(upstream, answer, "the token is of another type than was asked for, or has ended already")
        }
        // Tokens of some resources are opaque; one that says whose it is must say that it is this identity's.
        let claims = JWTClaims.decode(Claims.self, from: wire.accessToken)
        guard [claims?.appid, claims?.azp].allSatisfy({ $0 == nil || $0?.lowercased() == identity.clientID }) else {
            throw .unusable(upstream, answer, "the token is another identity's than was asked for")
        }
        return UpstreamToken(
            token: SecretToken(wire.accessToken), lifetime: .seconds(min(Int64(wire.expiresIn), Self.longestLife)))
    }

    /// A day: tokens with continuous access evaluation live the longest.
    private static let longestLife: Int64 = 86_400

    /// Sorts an answer that is no success by its AADSTS code; statuses say little.
    private func failure(from answer: UpstreamResponse) -> UpstreamFailure {
        let wire = try? JSONDecoder().decode(ErrorAnswer.self, from: Data(answer.body))
        let code = wire?.codes?.first
        let kind: UpstreamFailure.Kind =
            switch (answer.status, code, wire?.error) {
            case (429, _, _): .rateLimited
            case (500..., _, _), (_, 90_061, _), (_, _, "temporarily_unavailable"), (_, _, "server_error"): .unavailable
            // The assertion is outside of its time.
            case (_, 700_024, _): .staleSubjectToken
            // No federated credential has this issuer, subject and audience; it may have been made minutes ago.
            case (_, 70_021, _), (_, 700_211, _), (_, 700_212, _), (_, 700_213, _): .denied
            case (_, _, nil): answer.status < 500 ? .misconfigured : .unavailable
            default: .misconfigured
            }
        let text = wire?.description ?? wire?.error
        return UpstreamFailure(
            upstream: upstream, kind: kind, status: answer.status,
            message: text.map { UpstreamText.clean($0) } ?? answer.bodyText, retryAfter: answer.retryAfter())
    }

    private struct Answer: Decodable {
        var accessToken: String
        var tokenType: String
        var expiresIn: Int32

        enum CodingKeys: String, CodingKey {
            case accessToken = "access_token"
            case tokenType = "token_type"
            case expiresIn = "expires_in"
        }
    }

    private struct ErrorAnswer: Decodable {
        var error: String
        var description: String?
        var codes: [Int]?

        enum CodingKeys: String, CodingKey {
            case error
            case description = "error_description"
            case codes = "error_codes"
        }
    }

    private struct Claims: Decodable {
        var appid: String?
        var azp: String?
    }
}
