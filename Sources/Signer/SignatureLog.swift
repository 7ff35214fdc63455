import FoundationEssentials
import KubernetesAPI
package import Operations
import SpiffeIdentity

/// The signer's audit: one JSON line for each signature and each refusal, naming who and what, never a token.
package final class SignatureLog: Sendable {
    /// How an exchange ended.
    package enum Result: String, Sendable, CaseIterable {
        case signed
        case refused
        case failed
        /// The share of a pod, a node or an address is used up.
        case limited
    }

    private let write: @Sendable (String) -> Void
    private let counters = CounterTable<Result>()
    private let requests = CounterTable<Result>()

    package init(write: @escaping @Sendable (String) -> Void) {
        self.write = write
    }

    package var samples: [MetricSample] { counters.samples }
    package var requestSamples: [MetricSample] { requests.samples }

    func record(_ outcome: Exchange.Outcome, audience: [String]?) {
        counters.increment(.signed)
        var fields = subject(outcome.pod)
        fields.append(("spiffeId", JSONText.string(outcome.answer.spiffeID)))
        if let serial = outcome.serialNumber { fields.append(("serialNumber", JSONText.string(serial))) }
        if outcome.isServing { fields.append(("metadataServer", "true")) }
        if let id = outcome.tokenID { fields.append(("tokenId", JSONText.string(id))) }
        if let audience {
            fields.append(("audience", "[" + audience.map(JSONText.string).joined(separator: ",") + "]"))
        }
        if let attributes = outcome.attributes {
            fields.append(("attributes", String(decoding: attributes.claim.bytes, as: UTF8.self)))
        }
        emit("sign", .signed, fields)
    }

    func record(_ refusal: ExchangeRefusal) {
        let result: Result = refusal.status == 429 ? .limited : refusal.status < 500 ? .refused : .failed
        counters.increment(result)
        guard refusal.isNews else { return }
        emit(
            "sign", result,
            [("status", "\(refusal.status)"), ("reason", JSONText.string(refusal.reason))])
    }

    /// A PodCertificateRequest that was decided, or left open.
    func record(_ verdict: PodCertificateVerdict, of request: PodCertificateRequest) {
        let spec = request.spec
        var fields = [
            ("request", JSONText.string(request.metadata.name)), ("signer", JSONText.string(spec.signerName)),
            ("namespace", JSONText.string(request.metadata.namespace)), ("pod", JSONText.string(spec.podName)),
            ("podUid", JSONText.string(spec.podUID)), ("serviceAccount", JSONText.string(spec.serviceAccountName)),
            ("node", JSONText.string(spec.nodeName)),
        ]
        let result: Result
        switch verdict {
        case .issued(let certificate):
            result = .signed
            fields += [
                ("spiffeId", JSONText.string(certificate.spiffeID)),
                ("serialNumber", JSONText.string(certificate.serialNumber)),
            ]
            if certificate.isServing { fields.append(("metadataServer", "true")) }
        case .denied(let reason, let message):
            result = .refused
            fields.append(("reason", JSONText.string("\(reason): \(message)")))
        case .pending(let reason):
            result = .failed
            fields.append(("reason", JSONText.string(reason)))
        }
        requests.increment(result)
        emit("podCertificateRequest", result, fields)
    }

    /// A PodCertificateRequest that is left open, because its pod or node is over its share.
    func recordLimit(of request: PodCertificateRequest, isNews: Bool) {
        requests.increment(.limited)
        guard isNews else { return }
        let spec = request.spec
        emit(
            "podCertificateRequest", .limited,
            [
                ("request", JSONText.string(request.metadata.name)), ("podUid", JSONText.string(spec.podUID)),
                ("node", JSONText.string(spec.nodeName)),
                ("reason", JSONText.string("the pod or its node asks for more signatures than its share")),
            ])
    }

    private func subject(_ pod: ReviewedPod) -> [(String, String)] {
        var fields = [
            ("namespace", JSONText.string(pod.namespace)), ("pod", JSONText.string(pod.name)),
            ("podUid", JSONText.string(pod.uid)), ("serviceAccount", JSONText.string(pod.serviceAccount)),
        ]
        if let node = pod.node { fields.append(("node", JSONText.string(node))) }
        if let id = pod.credentialID { fields.append(("credentialId", JSONText.string(id))) }
        return fields
    }

    private func emit(_ event: String, _ result: Result, _ fields: [(String, String)]) {
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        let all = [
            ("version", "1"), ("time", JSONText.string(time)), ("event", JSONText.string(event)),
            ("result", JSONText.string(result.rawValue)),
        ]
        write("{" + (all + fields).map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}\n")
    }
}
