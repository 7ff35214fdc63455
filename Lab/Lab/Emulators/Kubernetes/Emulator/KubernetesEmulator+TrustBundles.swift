import Foundation
import NIOCore
import SwiftASN1
import Synchronization
import X509

/// ClusterTrustBundles as KEP-3257 has them, and ConfigMaps: get, create and patch. Compared with no real API server.
extension KubernetesEmulator {
    /// The certificates of each ClusterTrustBundle in PEM, by the object's name.
    package var trustBundles: [String: String] {
        storage.withLock { $0.certificates.trustBundles.compactMapValues { $0["spec"]?["trustBundle"]?.string } }
    }

    /// One text of a ConfigMap.
    package func configMapText(namespace: String, name: String, key: String) -> String? {
        storage.withLock { $0.certificates.configMaps[LabPod.Key(namespace, name)]?["data"]?[key]?.string }
    }

    /// Changes one text of a ConfigMap, as an administrator would.
    package func setConfigMapText(namespace: String, name: String, key: String, _ text: String) {
        storage.withLock { storage in
            let objectKey = LabPod.Key(namespace, name)
            guard let found = storage.certificates.configMaps[objectKey] else { return }
            let data = Self.merged(found["data"], .object([JSON.Member(key, .string(text))]))
            storage.certificates.configMaps[objectKey] = storage.object(found, "data", data)
        }
    }

    func serveConfigMap(
        _ request: LabRequest, _ access: AccessRequest, _ key: LabPod.Key
    ) throws(KubernetesStatus) -> LabResponse {
        try change(request, access, "configmaps", "data", at: key.namespace) { storage, name, new in
            if let new { storage.certificates.configMaps[LabPod.Key(key.namespace, name)] = new }
            return storage.certificates.configMaps[LabPod.Key(key.namespace, name)]
        } check: { (_, _, _, _) throws(KubernetesStatus) in
        }
    }

    func serveTrustBundle(
        _ request: LabRequest, _ access: AccessRequest, as user: KubernetesUser
    ) throws(KubernetesStatus) -> LabResponse {
        try change(request, access, "clustertrustbundles", "spec", at: nil) { storage, name, new in
            if let new { storage.certificates.trustBundles[name] = new }
            return storage.certificates.trustBundles[name]
        } check: { (state, name, old, spec) throws(KubernetesStatus) in
            try state.checkTrustBundle(spec, named: name, before: old, by: user)
        }
    }

    /// Reads, creates or patches an object that has one field of texts.
    private func change(
        _ request: LabRequest, _ access: AccessRequest, _ resource: String, _ field: String, at namespace: String?,
        _ stored: (inout Storage, String, JSON?) -> JSON?,
        check: (ClusterState, String, JSON?, JSON) throws(KubernetesStatus) -> Void
    ) throws(KubernetesStatus) -> LabResponse {
        let body = try? JSON(parsing: request.body.readableBytesView)
        let name = access.verb == "create" ? body?["metadata"]?["name"]?.string ?? "" : access.name
        let result = storage.withLock { storage in
            Result { () throws(KubernetesStatus) in
                let found = stored(&storage, name, nil)
                switch (access.verb, found) {
                case ("get", let found?): return found
                case ("create", nil): break
                case ("create", _):
                    throw KubernetesStatus(
                        code: 409, reason: "AlreadyExists", message: "\(resource) \"\(name)\" already exists")
                case ("patch", let found?):
                    guard request.header("content-type") == "application/merge-patch+json", body != nil else {
                        throw .badRequest("the body of the request was in an unknown format")
                    }
                    let version = body?["metadata"]?["resourceVersion"]?.string
                    guard version == nil || version == found["metadata"]?["resourceVersion"]?.string else {
                        throw .conflict(resource, name, "the object has been modified")
                    }
                default: throw .notFound(resource, name)
                }
                let values = Self.merged(found?[field], body?[field])
                try check(storage.state, name, found?[field], values)
                var metadata: [JSON.Member] = [JSON.Member("name", .string(name))]
                if let namespace { metadata.append(JSON.Member("namespace", .string(namespace))) }
                let base: JSON = [
                    "kind": found?["kind"] ?? body?["kind"] ?? "",
                    "apiVersion": found?["apiVersion"] ?? body?["apiVersion"] ?? "",
                    "metadata": .object(metadata),
                ]
                return stored(&storage, name, storage.object(base, field, values)) ?? base
            }
        }
        return answer(access.verb == "create" ? 201 : 200, try result.get())
    }

    /// A merge patch of texts: `null` removes one.
    private static func merged(_ old: JSON?, _ patch: JSON?) -> JSON {
        var members = old?.members ?? []
        for member in patch?.members ?? [] {
            members.removeAll { $0.name == member.name }
            if member.value != .null { members.append(member) }
        }
        return .object(members)
    }
}

extension KubernetesEmulator.Storage {
    /// The object with other texts and the next version.
    fileprivate mutating func object(_ base: JSON, _ field: String, _ values: JSON) -> JSON {
        var metadata = (base["metadata"]?.members ?? []).filter { $0.name != "resourceVersion" }
        metadata.append(JSON.Member("resourceVersion", .string(String(state.nextVersion()))))
        return .object(
            (base.members ?? []).filter { $0.name != "metadata" && $0.name != field }
                + [JSON.Member("metadata", .object(metadata)), JSON.Member(field, values)])
    }
}

extension ClusterState {
    /// Applies the rules of a ClusterTrustBundle: the right to attest for its signer, and a name that begins with the signer's.
    /// A bundle holds certificates alone, none twice, and its signer's name never changes.
    func checkTrustBundle(
        _ spec: JSON, named name: String, before: JSON?, by user: KubernetesUser
    ) throws(KubernetesStatus) {
        let signer = spec["signerName"]?.string ?? ""
        let mayAttest = grants.contains {
            $0.allows(
                user, verb: "attest", group: "certificates.k8s.io", resource: "signers", name: signer, namespace: nil)
        }
        guard signer.isEmpty || mayAttest else {
            throw .forbidden(
                "clustertrustbundles", name, group: "certificates.k8s.io",
                "user not permitted to attest for signerName \"\(signer)\"")
        }
        func invalid(_ why: String) -> KubernetesStatus {
            KubernetesStatus(
                code: 422, reason: "Invalid",
                message: "ClusterTrustBundle.certificates.k8s.io \"\(name)\" is invalid: \(why)",
                details: ["name": .string(name), "group": "certificates.k8s.io", "kind": "ClusterTrustBundle"])
        }
        let prefix = signer.replacingOccurrences(of: "/", with: ":") + ":"
        guard signer.isEmpty ? !name.contains(":") : name.hasPrefix(prefix) && name.count > prefix.count else {
            throw invalid("metadata.name: Invalid value: \"\(name)\": must begin with \"\(prefix)\"")
        }
        if let before, before["signerName"] != spec["signerName"] {
            throw invalid("spec.signerName: Invalid value: field is immutable")
        }
        guard let documents = try? PEMDocument.parseMultiple(pemString: spec["trustBundle"]?.string ?? ""),
            !documents.isEmpty, documents.allSatisfy({ (try? Certificate(pemDocument: $0)) != nil })
        else { throw invalid("spec.trustBundle: Invalid value: must be PEM certificates") }
        guard Set(documents.map(\.derBytes)).count == documents.count else {
            throw invalid("spec.trustBundle: Invalid value: the same certificate is there twice")
        }
    }
}
