import Crypto
package import Foundation
import SwiftASN1
import X509
import _CryptoExtras

/// The version of PodCertificateRequests that an emulated API server serves.
package enum PodCertificateSupport: Sendable, Equatable {
    /// Kubernetes 1.36 as it is installed: v1beta1 is off.
    case absent
    /// Kubernetes 1.36 with the feature gate and the version switched on. Measured.
    case v1beta1
    /// Kubernetes 1.37, as documented: it was compared with no real one.
    case v1

    var version: String? {
        switch self {
        case .absent: nil
        case .v1beta1: "v1beta1"
        case .v1: "v1"
        }
    }
}

/// A PodCertificateRequest in the emulated cluster.
package struct LabPodCertificateRequest: Sendable, Equatable {
    package var key: LabPod.Key
    package var uid: String
    package var creationTimestamp: Date
    package var resourceVersion: UInt64
    package var spec: JSON
    package var status: JSON?

    /// The type of the one condition: `Issued`, `Denied` or `Failed`.
    package var outcome: String? { status?["conditions"]?.array?.first?["type"]?.string }

    func json(version: String) -> JSON {
        [
            "kind": "PodCertificateRequest",
            "apiVersion": .string("certificates.k8s.io/\(version)"),
            "metadata": [
                "name": .string(key.name), "namespace": .string(key.namespace), "uid": .string(uid),
                "resourceVersion": .string(String(resourceVersion)),
                "creationTimestamp": .string(Timestamp.rfc3339(creationTimestamp)),
            ],
            "spec": spec,
            "status": status ?? [:],
        ]
    }

    func text(_ name: String) -> String { spec[name]?.string ?? "" }
}

/// The rules by which the API server takes a request and a decision.
extension ClusterState {
    /// NodeRestriction's look at a request that a node creates, then the registry's.
    ///
    /// Measured on 1.36: names that do not fit are 403, UIDs that do not fit 500, a life out of bounds 422.
    func checkRequest(
        _ spec: JSON, named key: LabPod.Key, by user: KubernetesUser
    ) throws(KubernetesStatus) {
        func text(_ name: String) -> String { spec[name]?.string ?? "" }
        if let node = user.nodeName { try admit(spec, named: key, from: node, as: user) }
        let seconds = spec["maxExpirationSeconds"]?.integer ?? 86_400
        guard (3600...7_862_400).contains(seconds) else {
            throw .invalidRequest(
                key.name, "spec.maxExpirationSeconds: Invalid value: \(seconds): must be in the range [3600, 7862400]")
        }
        guard let der = Data(base64Encoded: text("stubPKCS10Request")),
            let request = try? CertificateSigningRequest(derEncoded: [UInt8](der)),
            request.publicKey.isValidSignature(request.signature, for: request)
        else {
            throw .invalidRequest(key.name, "spec.stubPKCS10Request: Invalid value: could not verify the signature")
        }
    }

    private func admit(
        _ spec: JSON, named key: LabPod.Key, from node: String, as user: KubernetesUser
    ) throws(KubernetesStatus) {
        func text(_ name: String) -> String { spec[name]?.string ?? "" }
        func forbidden(_ why: String) -> KubernetesStatus {
            .forbidden("podcertificaterequests", key.name, group: "certificates.k8s.io", why)
        }
        func unknown(_ why: String) -> KubernetesStatus {
            KubernetesStatus(code: 500, reason: "InternalError", message: "Internal error occurred: \(why)")
        }
        guard text("nodeName") == node else {
            throw forbidden(
                "PodCertificateRequest.Spec.NodeName=\"\(text("nodeName"))\", which is not the requesting node \"\(node)\""
            )
        }
        guard let pod = pods[LabPod.Key(key.namespace, text("podName"))] else {
            throw forbidden("while retrieving the named pod: pod \"\(text("podName"))\" not found")
        }
        guard pod.nodeName == node else { throw forbidden("pod \"\(pod.name)\" is not running on node \"\(node)\"") }
        guard pod.serviceAccountName == text("serviceAccountName"), !pod.serviceAccountName.isEmpty else {
            throw forbidden("pod \"\(pod.name)\" is not running as service account \"\(text("serviceAccountName"))\"")
        }
        guard pod.uid == text("podUID") else { throw unknown("pod UID mismatch") }
        guard nodes[node]?.uid == text("nodeUID") else { throw unknown("node UID mismatch") }
        let account = LabPod.Key(key.namespace, pod.serviceAccountName)
        guard serviceAccounts[account]?.uid == text("serviceAccountUID") else {
            throw unknown("service account UID mismatch")
        }
        guard options.podCertificates == .v1 else { return }
        let signer = text("signerName")
        guard pod.volumeSigners.contains(signer) || allows(user, signer: signer, serviceAccount: account) else {
            throw forbidden(
                "signer \"\(signer)\" not found in pod spec volume, \(user.name) is not authorized to request pod "
                    + "certificates from this signer")
        }
    }

    /// Whether RBAC lets the node name the signer for pods without a volume of it (1.37, as documented).
    func allows(_ user: KubernetesUser, signer: String, serviceAccount: ServiceAccountKey) -> Bool {
        grants.contains {
            $0.allows(
                user, verb: "request-serviceaccounts-podcertificate-signer", group: "certificates.k8s.io",
                resource: signer.replacingOccurrences(of: "/", with: ":"), name: serviceAccount.name,
                namespace: serviceAccount.namespace)
        }
    }

    /// A decision is final, of one of three kinds, and an issued certificate is for the key and within the bounds.
    func checkStatus(
        _ status: JSON, of request: LabPodCertificateRequest, now: Date
    ) throws(KubernetesStatus) {
        func invalid(_ why: String) -> KubernetesStatus { .invalidRequest(request.key.name, why) }
        guard request.outcome == nil else { throw invalid("status: Forbidden: immutable after it was decided") }
        guard let conditions = status["conditions"]?.array, conditions.count == 1,
            let type = conditions[0]["type"]?.string, ["Issued", "Denied", "Failed"].contains(type),
            conditions[0]["status"]?.string == "True", conditions[0]["reason"]?.string?.isEmpty == false,
            conditions[0]["lastTransitionTime"]?.string != nil
        else { throw invalid("status.conditions: Invalid value: there must be one of Issued, Denied and Failed") }
        guard type == "Issued" else {
            guard status["certificateChain"] == nil else { throw invalid("status.certificateChain: Forbidden") }
            return
        }
        guard let documents = try? PEMDocument.parseMultiple(pemString: status["certificateChain"]?.string ?? ""),
            let leaf = documents.first.flatMap({ try? Certificate(pemDocument: $0) }),
            let der = Data(base64Encoded: request.text("stubPKCS10Request")),
            let csr = try? CertificateSigningRequest(derEncoded: [UInt8](der)), leaf.publicKey == csr.publicKey
        else {
            throw invalid(
                "status.certificateChain: Invalid value: leaf certificate was not issued to the requested key")
        }
        let times = ["notBefore", "notAfter", "beginRefreshAt"].compactMap { name in
            status[name]?.string.flatMap { try? Date($0, strategy: .iso8601) }
        }
        guard times.count == 3, times[0] == leaf.notValidBefore, times[1] == leaf.notValidAfter,
            abs(times[0].timeIntervalSince(now)) < 300
        else { throw invalid("status: Invalid value: the times must be those of the leaf, and begin within 5 minutes") }
        let life = times[1].timeIntervalSince(times[0])
        let most = request.spec["maxExpirationSeconds"]?.integer ?? 86_400
        guard life >= 3600, life <= TimeInterval(most) else {
            throw invalid(
                "status.certificateChain: Invalid value: \(life): leaf certificate lifetime must be from 1 hour to \(most) s"
            )
        }
        guard times[2].timeIntervalSince(times[0]) >= 600, times[1].timeIntervalSince(times[2]) >= 600 else {
            throw invalid("status.beginRefreshAt: Invalid value: must be at least 10 minutes from either end")
        }
    }
}

extension KubernetesStatus {
    static func invalidRequest(_ name: String, _ why: String) -> KubernetesStatus {
        KubernetesStatus(
            code: 422, reason: "Invalid",
            message: "PodCertificateRequest.certificates.k8s.io \"\(name)\" is invalid: \(why)",
            details: ["name": .string(name), "group": "certificates.k8s.io", "kind": "PodCertificateRequest"])
    }
}
