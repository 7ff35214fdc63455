package import Attribution
import NIOCore
import NIOHTTP1
import NIOSSL
package import SpiffeIdentity
package import Tokens
import UpstreamHTTP

/// The signer's address, and how the agent believes the signer.
package struct SignerClientConfiguration: Sendable {
    /// The URL without a slash at the end.
    let url: String
    let trustDomain: TrustDomain
    let audience: String
    let tls: TLSConfiguration
    let userAgent: String

    /// - Parameters:
    ///   - url: Where the signer is, without a slash at the end.
    ///   - trustDomain: The trust domain that it signs for.
    ///   - audience: The audience of the tokens that prove for whom the agent asks.
    ///   - trustRootsPath: PEM certificates to trust; `nil`: the system's.
    ///   - userAgent: What requests name the agent.
    /// - Throws: That the file cannot be used.
    package init(
        url: String, trustDomain: TrustDomain, audience: String, trustRootsPath: String?, userAgent: String
    ) throws(IssueFailure) {
        self.url = url
        self.trustDomain = trustDomain
        self.audience = audience
        self.userAgent = userAgent
        var tls = TLSConfiguration.makeClientConfiguration()
        if let path = trustRootsPath {
            guard let roots = try? NIOSSLCertificate.fromPEMFile(path), !roots.isEmpty else {
                throw IssueFailure(.unavailable, "\(path) holds no PEM certificates")
            }
            tls.trustRoots = .certificates(roots)
        }
        self.tls = tls
    }
}

/// The agent's side of an exchange: a token that the API server binds to the pod, for SVIDs of that pod.
package struct SignerClient: SVIDIssuing {
    private let configuration: SignerClientConfiguration
    private let tokens: any SubjectTokenIssuing
    private let http: UpstreamHTTPClient

    /// Longer than the API server's TokenReview, which the signer waits for.
    private static let callTimeout = Duration.seconds(5)

    package init(_ configuration: SignerClientConfiguration, tokens: any SubjectTokenIssuing) {
        self.configuration = configuration
        self.tokens = tokens
        var options = UpstreamHTTPClient.Options()
        options.callTimeout = Self.callTimeout
        options.idleTimeout = .seconds(60)
        options.tlsConfiguration = configuration.tls
        if let host = Self.host(of: configuration.url) { options.serverName = UpstreamHTTPClient.Options.dnsName(host) }
        http = UpstreamHTTPClient(options)
    }

    /// Must be called once, after the last call.
    package func shutdown() async { await http.shutdown() }

    package func certificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]] {
        let answer = try await exchange(ExchangeRequest(csr: request), for: pod)
        guard let chain = answer.chainBytes, !chain.isEmpty else {
            throw IssueFailure(.unavailable, "the signer's answer has no certificate")
        }
        return chain
    }

    /// A certificate chain in DER that names the metadata server, for the agent's own pod.
    package func servingCertificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]] {
        let answer = try await exchange(ExchangeRequest(csr: request, serving: true), for: pod)
        guard let chain = answer.chainBytes, !chain.isEmpty else {
            throw IssueFailure(.unavailable, "the signer's answer has no certificate")
        }
        return chain
    }

    package func token(
        for pod: PodRecord, container: String?, audience: [String]
    ) async throws(IssueFailure) -> String {
        let answer = try await exchange(ExchangeRequest(audience: audience, container: container), for: pod)
        guard let token = answer.token else { throw IssueFailure(.unavailable, "the signer's answer has no token") }
        return token
    }

    package func bundle() async throws(IssueFailure) -> TrustBundle {
        let answer = try await send(.GET, ExchangeRequest.bundlePath)
        do throws(SpiffeError) {
            return try TrustBundle(parsing: answer.body, of: configuration.trustDomain)
        } catch {
            throw IssueFailure(.unavailable, "the signer's bundle: \(error)")
        }
    }

    private func exchange(
        _ request: ExchangeRequest, for pod: PodRecord
    ) async throws(IssueFailure) -> ExchangeResponse {
        let subject: SubjectToken
        do throws(UpstreamFailure) {
            subject = try await tokens.issueSubjectToken(
                for: pod, serviceAccountUID: "", audience: .relyingParty(configuration.audience))
        } catch {
            throw Self.failure(error, audience: configuration.audience)
        }
        let answer = try await send(.POST, ExchangeRequest.path, body: request.bytes, token: subject.token)
        guard let exchanged = ExchangeResponse(parsing: answer.body) else {
            throw IssueFailure(.unavailable, "the signer's answer is not one")
        }
        return exchanged
    }

    private func send(
        _ method: HTTPMethod, _ path: String, body: [UInt8]? = nil, token: SecretToken? = nil
    ) async throws(IssueFailure) -> UpstreamResponse {
        var headers: HTTPHeaders = ["accept": "application/json", "user-agent": configuration.userAgent]
        if body != nil { headers.add(name: "content-type", value: "application/json") }
        if let token { headers.add(name: "authorization", value: "Bearer \(token.exposed)") }
        let call = UpstreamCall(
            method, configuration.url + path, headers: headers, body: body.map { ByteBuffer(bytes: $0) })
        let answer: UpstreamResponse
        do throws(TransportError) {
            answer = try await http.answer(to: call)
        } catch {
            throw IssueFailure(.unavailable, "signer \(configuration.url): \(error)")
        }
        guard !answer.isSuccess else { return answer }
        let reason = "signer \(configuration.url) answered \(answer.status): \(answer.bodyText)"
        // A fault of the proof, the request or the ID does not pass by itself.
        throw IssueFailure(
            [400, 401, 403].contains(answer.status) ? .denied : .unavailable, reason,
            rest: answer.status == 429 ? answer.retryAfter() : nil)
    }

    /// A right that is missing is granted sooner or later, and clients give up after a final no: it is no final one.
    private static func failure(_ failure: UpstreamFailure, audience: String) -> IssueFailure {
        let remedy =
            failure.message.contains("audience")
            ? "; grant the node the verb request-serviceaccounts-token-audience on resource \"\(audience)\"" : ""
        return IssueFailure(.unavailable, "Kubernetes: \(failure.message)\(remedy)")
    }

    private static func host(of url: String) -> String? {
        let rest = url.drop { $0 != "/" }.drop { $0 == "/" }.prefix { $0 != "/" }
        guard let first = rest.first else { return nil }
        if first == "[" { return String(rest.dropFirst().prefix { $0 != "]" }) }
        return String(rest.prefix { $0 != ":" })
    }
}
