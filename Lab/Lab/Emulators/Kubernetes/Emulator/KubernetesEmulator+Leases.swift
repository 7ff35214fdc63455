import Foundation
import NIOCore
import Synchronization

/// Leases: get, create and replace, with the check of resource versions.
extension KubernetesEmulator {
    func serveLease(
        _ request: LabRequest, _ access: AccessRequest, _ key: LabPod.Key
    ) throws(KubernetesStatus) -> LabResponse {
        let body = try? JSON(parsing: request.body.readableBytesView)
        let result = storage.withLock { storage in
            Result { () throws(KubernetesStatus) in
                var key = key
                if access.verb == "create" { key.name = body?["metadata"]?["name"]?.string ?? "" }
                let found = storage.certificates.leases[key]
                switch access.verb {
                case "get":
                    guard let found else { throw .notFound("leases", key.name) }
                    return found
                case "create":
                    guard found == nil else {
                        throw KubernetesStatus(
                            code: 409, reason: "AlreadyExists", message: "leases \"\(key.name)\" already exists")
                    }
                case "update":
                    guard let found else { throw .notFound("leases", key.name) }
                    let version = body?["metadata"]?["resourceVersion"]?.string
                    guard version == found["metadata"]?["resourceVersion"]?.string else {
                        throw .conflict("leases", key.name, "the object has been modified")
                    }
                default: throw .notFound("leases", key.name)
                }
                return storage.setLease(key, spec: body?["spec"] ?? [:])
            }
        }
        return answer(access.verb == "create" ? 201 : 200, try result.get())
    }
}

/// The state of these kinds of objects.
struct CertificateState: Sendable {
    struct Change: Sendable {
        var type: String
        var request: LabPodCertificateRequest
    }

    var requests: [LabPod.Key: LabPodCertificateRequest] = [:]
    var history: [Change] = []
    var watches: [Int: AsyncStream<Change>.Continuation] = [:]
    var leases: [LabPod.Key: JSON] = [:]
    /// ClusterTrustBundles, by name.
    var trustBundles: [String: JSON] = [:]
    var configMaps: [LabPod.Key: JSON] = [:]
}

extension KubernetesEmulator.Storage {
    mutating func addRequest(_ request: LabPodCertificateRequest) -> LabPodCertificateRequest {
        var request = request
        request.resourceVersion = state.nextVersion()
        certificates.requests[request.key] = request
        publish("ADDED", request)
        return request
    }

    mutating func changeRequest(_ key: LabPod.Key, _ change: (inout LabPodCertificateRequest) -> Void) {
        guard var request = certificates.requests[key] else { return }
        change(&request)
        request.resourceVersion = state.nextVersion()
        certificates.requests[key] = request
        publish("MODIFIED", request)
    }

    mutating func setLease(_ key: LabPod.Key, spec: JSON) -> JSON {
        let lease: JSON = [
            "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
            "metadata": [
                "name": .string(key.name), "namespace": .string(key.namespace),
                "resourceVersion": .string(String(state.nextVersion())),
            ], "spec": spec,
        ]
        certificates.leases[key] = lease
        return lease
    }

    private mutating func publish(_ type: String, _ request: LabPodCertificateRequest) {
        let change = CertificateState.Change(type: type, request: request)
        certificates.history.append(change)
        if certificates.history.count > 4096 { certificates.history.removeFirst(1024) }
        for watch in certificates.watches.values { watch.yield(change) }
    }
}

/// The field selectors that the API has for PodCertificateRequests.
struct FieldSelector: Sendable {
    private let namespace: String?
    private let fields: [(name: String, value: String)]

    init(_ request: LabRequest, _ access: AccessRequest) {
        namespace = access.namespace
        fields = (request.query("fieldSelector") ?? "").split(separator: ",").map { term in
            let parts = term.split(separator: "=", maxSplits: 1)
            return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
    }

    func matches(_ request: LabPodCertificateRequest) -> Bool {
        guard namespace == nil || namespace == request.key.namespace else { return false }
        return fields.allSatisfy { name, value in
            switch name {
            case "metadata.name": request.key.name == value
            case "spec.nodeName": request.text("nodeName") == value
            case "spec.signerName": request.text("signerName") == value
            default: false
            }
        }
    }
}
