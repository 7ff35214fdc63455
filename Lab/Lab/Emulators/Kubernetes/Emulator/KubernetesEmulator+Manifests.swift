import Foundation
import NIOCore
import Synchronization

/// The objects of an installation, and the kubelet's work for its pods.
extension KubernetesEmulator {
    /// Takes over the roles, bindings, ServiceAccounts and the startup taint's policy of a manifest. Other kinds mean nothing
    /// here.
    package func apply(_ objects: [JSON]) throws(LabError) {
        let grants = try AccessGrant.all(in: objects)
        storage.withLock { storage in
            storage.state.grant(grants)
            if let fence = TaintFence.find(in: objects) { storage.state.setTaintFence(fence) }
        }
        for account in objects where account.kind == "ServiceAccount" {
            createServiceAccount(namespace: account.namespace, name: account.name)
        }
    }

    /// Takes back every role that ``apply(_:)`` brought.
    package func revokeManifests() {
        storage.withLock { $0.state.revokeGrants() }
    }

    private static let administrator = KubernetesUser(name: "lab", groups: ["system:masters"])

    /// The token that the kubelet of the pod's node writes into a projected volume: the pod's own, for the API server or
    /// another audience.
    package func projectedToken(namespace: String, pod name: String, audience: String? = nil) throws -> String {
        let state = storage.withLock { $0.state }
        guard let pod = state.pods[LabPod.Key(namespace, name)], let node = pod.nodeName else {
            throw LabError("no pod \(namespace)/\(name) runs on a node")
        }
        let body: JSON = [
            "spec": [
                "audiences": audience.map { JSON.array([.string($0)]) }, "expirationSeconds": 3600,
                "boundObjectRef": [
                    "apiVersion": "v1", "kind": "Pod", "name": .string(name), "uid": .string(pod.uid),
                ],
            ]
        ]
        let grant = try state.decide(
            TokenRequest(parsing: Array(body.text.utf8)), for: LabPod.Key(namespace, pod.serviceAccountName),
            as: audience == nil ? .node(node) : Self.administrator, tokenID: UUID().uuidString.lowercased(),
            now: clock.now)
        return try signingKey.sign(grant.claims)
    }

    /// The keys of a Node's taints.
    package func taints(ofNode name: String) -> [String] {
        storage.withLock { $0.state.nodes[name]?.taints.map(\.key) ?? [] }
    }

    /// `PATCH /api/v1/nodes/NAME` with a JSON patch.
    func patchNode(
        _ request: LabRequest, _ name: String, as user: KubernetesUser
    ) throws(KubernetesStatus) -> LabResponse {
        guard request.header("content-type") == "application/json-patch+json" else {
            throw KubernetesStatus(
                code: 415, reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format - accepted media types include: "
                    + "application/json-patch+json", details: [:])
        }
        let result = storage.withLock { storage in
            Result { () throws(KubernetesStatus) in
                try storage.state.patchNode(name, with: request.body.readableBytesView, as: user)
            }
        }
        return answer(200, try result.get().json(withTypeMeta: true))
    }
}

extension ClusterState {
    /// Applies a JSON patch to a Node's taints, labels and annotations.
    fileprivate mutating func patchNode(
        _ name: String, with bytes: some Sequence<UInt8>, as user: KubernetesUser
    ) throws(KubernetesStatus) -> LabNodeObject {
        guard let node = nodes[name] else { throw .notFound("nodes", name) }
        let old = node.json(withTypeMeta: true)
        let new: JSON
        do {
            new = try JSONPatch(JSON(parsing: bytes)).apply(to: old)
        } catch let failure as JSONPatch.Failure {
            throw KubernetesStatus(code: 422, reason: "Invalid", message: failure.message)
        } catch {
            throw .badRequest("error decoding patch: json parse error")
        }
        try taintFence?.admit(user, from: old, to: new)
        var changed = node
        changed.taints = (new["spec"]?["taints"]?.array ?? []).map { taint in
            LabNodeObject.Taint(key: taint["key"]?.string ?? "", effect: taint["effect"]?.string ?? "")
        }
        changed.labels = new["metadata"]?["labels"]?.texts ?? [:]
        changed.annotations = new["metadata"]?["annotations"]?.texts ?? [:]
        setNode(changed)
        return nodes[name] ?? changed
    }
}

extension JSON {
    /// An object's strings by name.
    fileprivate var texts: [String: String] {
        Dictionary(
            (members ?? []).compactMap { member in member.value.string.map { (member.name, $0) } },
            uniquingKeysWith: { first, _ in first })
    }
}
