package import Attribution
import FoundationEssentials
import Synchronization
package import Tokens
import UpstreamHTTP

/// A node's way to certificates of its own pods: one PodCertificateRequest each, created and waited for.
package final class PodCertificateClient: Sendable {
    /// Why a request brought no certificate.
    package enum Failure: Error, Sendable, Hashable {
        /// RBAC does not let this node ask that signer for that pod.
        case forbidden(String)
        /// A signer's final no.
        case denied(String)
        /// Nothing was decided, or the API server did not answer.
        case unavailable(String)
    }

    private struct Storage {
        /// The version that the API server serves, `.some(nil)` for none; `nil`: not asked yet.
        var version: PodCertificateVersion??
        var askAgainAt = ContinuousClock.now
        var nodeUID: String?
        var gate = PodCertificateGate()
    }

    private let client: KubernetesClient
    private let nodeName: String
    private let storage = Mutex(Storage())

    /// How long a signer may take. A client's call is held for no longer.
    private static let decisionLimit = Duration.seconds(10)
    /// How often an API server is asked what it serves: it may have been upgraded, or rolled back.
    private static let versionLife = Duration.seconds(300)

    package init(client: KubernetesClient, nodeName: String) {
        self.client = client
        self.nodeName = nodeName
    }

    /// The version that the API server serves now, asked again every five minutes; `nil`: none.
    package func version() async throws(UpstreamFailure) -> PodCertificateVersion? {
        let known = storage.withLock { storage in ContinuousClock.now < storage.askAgainAt ? storage.version : nil }
        if let known { return known }
        do throws(UpstreamFailure) {
            let version = try await client.podCertificateVersion()
            storage.withLock { storage in
                storage.version = .some(version)
                storage.askAgainAt = .now + Self.versionLife
            }
            return version
        } catch {
            // The version that the API server served last is most probably served still.
            if let last = storage.withLock(\.version) { return last }
            throw error
        }
    }

    /// Asks for a certificate of `pod`, and waits until a signer has decided.
    ///
    /// - Parameters:
    ///   - pod: The pod, as this node's own list of pods has it.
    ///   - signer: The name of the signer.
    ///   - csr: A signing request in DER that says nothing but its key.
    ///   - version: The served version.
    /// - Returns: The chain in PEM. The caller must verify it.
    /// - Throws: Why there is no certificate.
    package func certificate(
        for pod: PodRecord, signer: String, csr: [UInt8], _ version: PodCertificateVersion
    ) async throws(Failure) -> String {
        if let reason = storage.withLock({ $0.gate.begin(at: .now) }) {
            throw .unavailable("no PodCertificateRequest is created: \(reason)")
        }
        let decided: PodCertificateRequest?
        let name: String
        do throws(UpstreamFailure) {
            let created = try await client.create(try await request(for: pod, signer: signer, csr: csr), version)
            name = created.metadata.name
            decided = try await client.decision(on: created, version, within: Self.decisionLimit)
        } catch {
            storage.withLock { $0.gate.end(wasDecided: nil, at: .now) }
            throw classified(error, signer: signer)
        }
        storage.withLock { $0.gate.end(wasDecided: decided != nil, at: .now) }
        return try Self.chain(of: decided, name: name)
    }

    private func request(
        for pod: PodRecord, signer: String, csr: [UInt8]
    ) async throws(UpstreamFailure) -> PodCertificateRequest {
        let account = try await client.serviceAccount(ServiceAccountReference(of: pod))
        var nodeUID = storage.withLock(\.nodeUID)
        if nodeUID == nil {
            nodeUID = try await client.node(nodeName).uid
            storage.withLock { $0.nodeUID = nodeUID }
        }
        return PodCertificateRequest(
            metadata: PodCertificateRequest.Metadata(
                name: "podidentd-\(UUID().uuidString.lowercased())", namespace: pod.namespace),
            spec: PodCertificateRequest.Spec(
                signerName: signer, podName: pod.name, podUID: pod.uid.description,
                serviceAccountName: pod.serviceAccountName, serviceAccountUID: account.uid, nodeName: nodeName,
                nodeUID: nodeUID ?? "", maxExpirationSeconds: 86_400,
                stubPKCS10Request: Data(csr).base64EncodedString()))
    }

    private static func chain(of decided: PodCertificateRequest?, name: String) throws(Failure) -> String {
        guard let (outcome, condition) = decided?.decision else {
            throw .unavailable(
                "no signer has decided PodCertificateRequest \(name) in \(decisionLimit.components.seconds) s: see the log "
                    + "of podidentd-signer, and its --lease")
        }
        let words = UpstreamText.clean("\(condition.reason ?? "no reason"): \(condition.message ?? "no message")")
        switch outcome {
        case .issued:
            guard let chain = decided?.status?.certificateChain else {
                throw .unavailable("PodCertificateRequest \(name) is issued and has no certificate")
            }
            return chain
        case .denied: throw .denied("the signer denied PodCertificateRequest \(name): \(words)")
        case .failed: throw .unavailable("the signer failed at PodCertificateRequest \(name): \(words)")
        }
    }

    private func classified(_ failure: UpstreamFailure, signer: String) -> Failure {
        // The node's own UID may be the one that is wrong: it is read again.
        storage.withLock { $0.nodeUID = nil }
        if failure.status == 404, failure.message.contains("could not find the requested resource") {
            storage.withLock { $0.askAgainAt = .now }
        }
        if failure.status == 403, failure.message.contains("signer") {
            return .forbidden("\(failure.message); \(Self.remedy(signer))")
        }
        return .unavailable("Kubernetes: \(failure.message)")
    }

    /// The RBAC rule that lets nodes ask a signer for pods that have no volume of it.
    package static func remedy(_ signer: String) -> String {
        "grant the group system:nodes the verb \(PodCertificateSignerName.verb) on resource "
            + "\"\(PodCertificateSignerName.resource(signer))\" of apiGroup \(PodCertificateSignerName.group), as the "
            + "component spiffe does"
    }
}
