import FoundationEssentials
import KubernetesAPI
import SpiffeIdentity
import Tokens

/// Reads from the API server what a PodCertificateRequest is compared with.
protocol PodCertificateFacts: Sendable {
    func podFacts(namespace: String, name: String) async throws(UpstreamFailure) -> PodFacts?
    func uid(ofServiceAccount name: String, in namespace: String) async throws(UpstreamFailure) -> String?
    func uid(ofNode name: String) async throws(UpstreamFailure) -> String?
}

extension KubernetesClient: PodCertificateFacts {}

/// The signer's decision about a PodCertificateRequest.
enum PodCertificateVerdict: Sendable, Hashable {
    struct Certificate: Sendable, Hashable {
        var status: PodCertificateRequest.Status
        var spiffeID: String
        var serialNumber: String
        var isServing: Bool
    }

    case issued(Certificate)
    /// Final: the same request is never signed.
    case denied(reason: String, message: String)
    /// Nothing is decided, because something did not answer: the request stays open.
    case pending(String)
}

/// Decides about PodCertificateRequests: what a node says of its pod must be what the API server knows.
struct PodCertificateJudge: Sendable {
    private let configuration: SignerConfiguration
    private let facts: any PodCertificateFacts

    /// The API server's bounds of a certificate's life, in seconds.
    static let life = 3600...7_862_400
    /// A certificate begins so much before now, and the API server takes no more than five minutes.
    private static let backdating: TimeInterval = 120

    init(_ configuration: SignerConfiguration, facts: any PodCertificateFacts) {
        self.configuration = configuration
        self.facts = facts
    }

    /// Denies, signs, or leaves a request open.
    func judge(
        _ request: PodCertificateRequest, keys: SignerKeys, now: Date = Date()
    ) async -> PodCertificateVerdict {
        let spec = request.spec
        let csr: [UInt8]
        switch check(spec) {
        case .failure(let refusal): return refusal.verdict
        case .success(let bytes): csr = bytes
        }
        do throws(UpstreamFailure) {
            if let refusal = try await compare(spec, namespace: request.metadata.namespace) { return refusal.verdict }
        } catch {
            return .pending("the API server did not say whose request it is: \(error.message)")
        }
        return sign(csr, spec, namespace: request.metadata.namespace, keys: keys, now: now)
    }

    /// A final no.
    private struct Refusal: Error {
        var reason: String
        var message: String

        init(_ reason: String, _ message: String) {
            self.reason = reason
            self.message = message
        }

        var verdict: PodCertificateVerdict { .denied(reason: reason, message: message) }
    }

    /// Looks at the request alone.
    private func check(_ spec: PodCertificateRequest.Spec) -> Result<[UInt8], Refusal> {
        guard [PodCertificateSignerName.spiffe, PodCertificateSignerName.nodeServing].contains(spec.signerName) else {
            return .failure(Refusal("UnknownSigner", "this signer does not sign for that name"))
        }
        guard (spec.unverifiedUserAnnotations ?? [:]).isEmpty else {
            return .failure(
                Refusal(
                    "InvalidUnverifiedUserAnnotations", "this signer takes no annotations, which are unverified"))
        }
        guard let seconds = spec.maxExpirationSeconds, Self.life.contains(seconds) else {
            return .failure(
                Refusal(
                    "InvalidMaxExpirationSeconds",
                    "maxExpirationSeconds must be from \(Self.life.lowerBound) to \(Self.life.upperBound)"))
        }
        guard let text = spec.stubPKCS10Request, let csr = Data(base64Encoded: text), !csr.isEmpty else {
            return .failure(Refusal("InvalidStubPKCS10Request", "stubPKCS10Request is not base64"))
        }
        switch SigningAuthority.defect(of: [UInt8](csr)) {
        case .key(let message): return .failure(Refusal("UnsupportedKeyType", message))
        case .form(let message): return .failure(Refusal("InvalidStubPKCS10Request", message))
        case nil: return .success([UInt8](csr))
        }
    }

    /// Compares every name and UID with what the API server knows now.
    private func compare(
        _ spec: PodCertificateRequest.Spec, namespace: String
    ) async throws(UpstreamFailure) -> Refusal? {
        guard let pod = try await facts.podFacts(namespace: namespace, name: spec.podName), pod.uid == spec.podUID
        else { return Refusal("PodMismatch", "no pod of that name has that UID") }
        guard pod.node == spec.nodeName else { return Refusal("NodeMismatch", "the pod runs on another node") }
        guard pod.serviceAccount == spec.serviceAccountName else {
            return Refusal("ServiceAccountMismatch", "the pod has another ServiceAccount")
        }
        guard !["Succeeded", "Failed"].contains(pod.phase) else {
            return Refusal("PodFinished", "the pod has finished")
        }
        let account = try await facts.uid(ofServiceAccount: spec.serviceAccountName, in: namespace)
        guard account == spec.serviceAccountUID else {
            return Refusal("ServiceAccountMismatch", "no ServiceAccount of that name has that UID")
        }
        guard try await facts.uid(ofNode: spec.nodeName) == spec.nodeUID else {
            return Refusal("NodeMismatch", "no Node of that name has that UID")
        }
        guard spec.signerName == PodCertificateSignerName.nodeServing else { return nil }
        guard let agent = configuration.agent, agent == "\(namespace)/\(spec.serviceAccountName)" else {
            return Refusal(
                "NotAnAgent", "certificates of the metadata server are for the agents' ServiceAccount alone (--agent)")
        }
        return nil
    }

    private func sign(
        _ csr: [UInt8], _ spec: PodCertificateRequest.Spec, namespace: String, keys: SignerKeys, now: Date
    ) -> PodCertificateVerdict {
        guard
            let id = SpiffeID(configuration.trustDomain, namespace: namespace, serviceAccount: spec.serviceAccountName)
        else { return .denied(reason: "NoSPIFFEID", message: "the ServiceAccount's name fits into no SPIFFE ID") }
        let isServing = spec.signerName == PodCertificateSignerName.nodeServing
        let asked = min(spec.maxExpirationSeconds ?? Self.life.lowerBound, configuration.certificateSeconds)
        // The API server counts from the certificate's beginning, which lies before now.
        let life = TimeInterval(max(asked, Self.life.lowerBound)) - Self.backdating
        do throws(SpiffeError) {
            let pod = ReviewedPod(
                namespace: namespace, serviceAccount: spec.serviceAccountName,
                serviceAccountUID: spec.serviceAccountUID, name: spec.podName, uid: spec.podUID, node: spec.nodeName,
                nodeUID: spec.nodeUID)
            let issued =
                isServing
                ? try keys.authority.signMetadataServer(csr, for: life, now: now)
                : try keys.authority.sign(csr, as: id, subject: configuration.subject(of: pod), for: life, now: now)
            guard issued.notAfter.timeIntervalSince(issued.notBefore) >= TimeInterval(Self.life.lowerBound) else {
                return .pending("the authority ends within the hour, and the API server takes no shorter certificate")
            }
            let half = issued.notBefore.addingTimeInterval(issued.notAfter.timeIntervalSince(issued.notBefore) / 2)
            let condition = PodCertificateRequest.Condition(
                type: PodCertificateRequest.Outcome.issued.rawValue, reason: "Issued", message: "signed for the pod",
                time: Self.text(now))
            return .issued(
                PodCertificateVerdict.Certificate(
                    status: PodCertificateRequest.Status(
                        conditions: [condition], certificateChain: CertificateChain.pem(issued.chain),
                        notBefore: Self.text(issued.notBefore), notAfter: Self.text(issued.notAfter),
                        beginRefreshAt: Self.text(half)),
                    spiffeID: id.description, serialNumber: issued.serialNumber, isServing: isServing))
        } catch {
            return .pending(error.description)
        }
    }

    /// RFC 3339 in whole seconds, as certificates have them.
    static func text(_ date: Date) -> String {
        Date(timeIntervalSince1970: date.timeIntervalSince1970.rounded(.down)).formatted(.iso8601)
    }
}
