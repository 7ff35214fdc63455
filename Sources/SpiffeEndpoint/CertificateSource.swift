import Attribution
import KubernetesAPI
import Logging
import Settings
import SignerExchange
import SpiffeIdentity
import Synchronization
import Tokens

/// Gets certificates by PodCertificateRequests or by the exchange with the signer, and everything else from the signer.
///
/// Both ways end at the same signer, with the same identity: each proves to it, by what the API server limits to the
/// node's own pods, for which pod the agent asks.
final class CertificateSource: SVIDIssuing {
    private let way: CertificateWay
    private let signer: SignerClient
    private let requests: PodCertificateClient
    private let logger: Logger
    private let lastWords = Mutex("")

    /// A final no of a signer stays for the life of the object that says it, and more would only fill etcd.
    private static let deniedRest = Duration.seconds(300)

    init(way: CertificateWay, signer: SignerClient, requests: PodCertificateClient, logger: Logger) {
        self.way = way
        self.signer = signer
        self.requests = requests
        self.logger = logger
    }

    func certificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]] {
        if let chain = try await requested(PodCertificateSignerName.spiffe, for: pod, csr: request) { return chain }
        return try await signer.certificate(for: pod, request: request)
    }

    /// A certificate chain in DER that names the metadata server, for the agent's own pod.
    func servingCertificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]] {
        if let chain = try await requested(PodCertificateSignerName.nodeServing, for: pod, csr: request) {
            return chain
        }
        return try await signer.servingCertificate(for: pod, request: request)
    }

    func token(
        for pod: PodRecord, container: String?, audience: [String]
    ) async throws(IssueFailure) -> String {
        try await signer.token(for: pod, container: container, audience: audience)
    }

    func bundle() async throws(IssueFailure) -> TrustBundle { try await signer.bundle() }

    func shutdown() async { await signer.shutdown() }

    /// The way that the next certificate takes, in words for operators.
    func wayInUse() async -> String {
        switch way {
        case .exchange: return "exchange with the signer (spiffe.certificates)"
        case .automatic, .requests:
            do throws(UpstreamFailure) {
                guard let version = try await requests.version() else {
                    return "exchange with the signer: the API server serves no PodCertificateRequests"
                }
                return "PodCertificateRequest, \(version.groupVersion)"
            } catch {
                return "unknown: \(error.message)"
            }
        }
    }

    /// The chain by a PodCertificateRequest; `nil`: the exchange is the way.
    private func requested(
        _ name: String, for pod: PodRecord, csr: [UInt8]
    ) async throws(IssueFailure) -> [[UInt8]]? {
        guard way != .exchange else { return nil }
        let served: PodCertificateVersion?
        do throws(UpstreamFailure) { served = try await requests.version() } catch {
            throw IssueFailure(.unavailable, "Kubernetes: \(error.message)")
        }
        guard let version = served else { return try absent() }
        let pem: String
        do throws(PodCertificateClient.Failure) {
            pem = try await requests.certificate(for: pod, signer: name, csr: csr, version)
        } catch {
            return try outcome(of: error)
        }
        say("certificates are asked for by PodCertificateRequests of \(version.groupVersion)", isProblem: false)
        do throws(SpiffeError) { return try CertificateChain.der(pem: pem) } catch {
            throw IssueFailure(.unavailable, "the signer's certificate cannot be used: \(error)")
        }
    }

    private func absent() throws(IssueFailure) -> [[UInt8]]? {
        guard way == .requests else {
            say("the API server serves no PodCertificateRequests: certificates come by the exchange", isProblem: false)
            return nil
        }
        throw IssueFailure(
            .unavailable,
            "the API server serves no PodCertificateRequests, and spiffe.certificates allows nothing else")
    }

    private func outcome(of failure: PodCertificateClient.Failure) throws(IssueFailure) -> [[UInt8]]? {
        switch failure {
        case .denied(let reason): throw IssueFailure(.denied, reason, rest: Self.deniedRest)
        case .unavailable(let reason): throw IssueFailure(.unavailable, reason)
        case .forbidden(let reason):
            guard way == .automatic else { throw IssueFailure(.unavailable, "Kubernetes: \(reason)") }
            // The exchange proves no less; what is missing is said.
            say(
                "certificates come by the exchange, because RBAC forbids PodCertificateRequests: \(reason)",
                isProblem: true)
            return nil
        }
    }

    /// Logs a sentence once, until there is another.
    private func say(_ words: String, isProblem: Bool) {
        let isNews = lastWords.withLock { last in
            defer { last = words }
            return last != words
        }
        guard isNews else { return }
        let metadata: Logger.Metadata = ["way": "\(words)"]
        if isProblem {
            logger.warning("how this node asks for a certificate", metadata: metadata)
        } else {
            logger.info("how this node asks for a certificate", metadata: metadata)
        }
    }
}
