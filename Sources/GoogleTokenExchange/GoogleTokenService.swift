import NIOCore
import NIOHTTP1
import Text
package import TokenExchange
package import Tokens
package import UpstreamHTTP

/// Google's Security Token Service and IAM Credentials: a pod's ServiceAccount token becomes a federated token, and
/// that becomes a token of a Google service account.
package final class GoogleTokenService: TokenExchanging {
    private let configuration: Configuration
    private let stsHost: String
    private let iamHost: String
    private let stsClient: any UpstreamTransport
    private let iamClient: any UpstreamTransport

    /// `network` stands for the node's own where that is simulated.
    package init(
        _ configuration: Configuration, network: (any UpstreamTransport)? = nil
    ) throws(TokenExchangeError) {
        guard !configuration.audience.isEmpty else {
            throw TokenExchangeError(option: "audience", problem: "is empty; set it to the provider's full name")
        }
        self.stsHost = try TokenServiceEndpoint.host(of: configuration.stsURL, option: "STS URL")
        self.iamHost = try TokenServiceEndpoint.host(of: configuration.iamCredentialsURL, option: "IAM Credentials URL")
        self.configuration = configuration
        if let network {
            (self.stsClient, self.iamClient) = (network, network)
            return
        }
        var options = try TokenServiceEndpoint.options(
            callTimeout: configuration.callTimeout, trustRootsPath: configuration.trustRootsPath)
        options.serverName = UpstreamHTTPClient.Options.dnsName(stsHost)
        self.stsClient = UpstreamHTTPClient(options)
        options.serverName = UpstreamHTTPClient.Options.dnsName(iamHost)
        self.iamClient = UpstreamHTTPClient(options)
    }

    /// Ends every call in flight. Must be called once, after the last call.
    package func shutdown() async {
        await stsClient.shutdown()
        await iamClient.shutdown()
    }

    package func exchange(
        _ subject: SubjectToken, scopes: ScopeSet
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let form = SecurityTokenService.form(subject: subject, audience: configuration.audience, scopes: scopes)
        // No Authorization header: it can make the request fail.
        let call = UpstreamCall(
            .POST,
            configuration.stsURL,
            headers: [
                "content-type": "application/x-www-form-urlencoded", "accept": "application/json",
                "user-agent": configuration.userAgent,
            ],
            body: ByteBuffer(string: form)
        )
        let answer = try await send(call, by: stsClient, to: .securityTokenService, at: stsHost)
        guard answer.isSuccess else { throw SecurityTokenService.failure(from: answer) }
        return try SecurityTokenService.token(from: answer, subject: subject)
    }

    package func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let answer = try await generate(
            "generateAccessToken",
            IAMCredentials.AccessTokenRequest(scope: scopes.sorted),
            as: GoogleServiceAccountName(account),
            quotaProject: quotaProject,
            federated: federated
        )
        return try IAMCredentials.accessToken(from: answer)
    }

    package func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let answer = try await generate(
            "generateIdToken",
            IAMCredentials.IdentityTokenRequest(audience: audience),
            as: GoogleServiceAccountName(account),
            quotaProject: quotaProject,
            federated: federated
        )
        return try IAMCredentials.identityToken(from: answer)
    }

    /// Whether both services can be reached, by name, TCP and TLS: asks for their root, without credentials. Any answer
    /// will do.
    package func reach() async -> [(upstream: UpstreamFailure.Upstream, host: String, failure: UpstreamFailure?)] {
        var reached: [(UpstreamFailure.Upstream, String, UpstreamFailure?)] = []
        for (upstream, client, url, host) in [
            (UpstreamFailure.Upstream.securityTokenService, stsClient, configuration.stsURL, stsHost),
            (.iamCredentials, iamClient, configuration.iamCredentialsURL, iamHost),
        ] {
            let call = UpstreamCall(.GET, url, headers: ["user-agent": configuration.userAgent])
            do throws(UpstreamFailure) {
                _ = try await send(call, by: client, to: upstream, at: host)
                reached.append((upstream, host, nil))
            } catch {
                reached.append((upstream, host, error))
            }
        }
        return reached
    }

    private func generate(
        _ method: String,
        _ request: some Encodable,
        as account: GoogleServiceAccountName,
        quotaProject: String?,
        federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamResponse {
        var call = UpstreamCall(
            .POST,
            configuration.iamCredentialsURL + IAMCredentials.path(account, method),
            headers: [
                "authorization": "Bearer \(federated.token.exposed)", "content-type": "application/json",
                "accept": "application/json", "user-agent": configuration.userAgent,
            ],
            body: ByteBuffer(bytes: SortedJSON.bytes(of: request))
        )
        if let quotaProject {
            guard Self.isProject(quotaProject) else {
                throw UpstreamFailure(
                    upstream: .iamCredentials,
                    kind: .misconfigured,
                    message: "annotation iam.gke.io/credential-quota-project: is no project ID or number"
                )
            }
            call.headers.add(name: "x-goog-user-project", value: quotaProject)
        }
        let answer = try await send(call, by: iamClient, to: .iamCredentials, at: iamHost)
        guard answer.isSuccess else { throw UpstreamFailure(google: answer, upstream: .iamCredentials) }
        return answer
    }

    private func send(
        _ call: UpstreamCall, by client: any UpstreamTransport, to upstream: UpstreamFailure.Upstream, at host: String
    ) async throws(UpstreamFailure) -> UpstreamResponse {
        do throws(TransportError) {
            return try await client.answer(to: call)
        } catch {
            throw error.failure(of: upstream, at: host)
        }
    }

    /// Letters, digits, dashes, and the dot and colon of domain-scoped projects; at most 63 characters.
    private static func isProject(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.unicodeScalars.allSatisfy { scalar in
                scalar.isASCII
                    && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                        || "-.:".unicodeScalars.contains(scalar))
            }
    }
}
