import Attribution

/// A pod, a bookmark or a `Status`, as a watch or a list brings it: only the fields that matter, none of them certain
/// to be there, none that can spoil the others. ``mask(labels:)`` names the same fields.
struct WireObject {
    struct Metadata {
        var uid: String?
        var name: String?
        var namespace: String?
        var resourceVersion: String?
        var deletionTimestamp: String?
        var labels: [String: String]?
        var annotations: [String: String]?
    }

    struct Spec {
        var serviceAccountName: String?
        var hostNetwork: Bool?
        var nodeName: String?
    }

    /// A pod's; a `Status` has text in its place.
    struct PodStatus {
        var phase: String?
    }

    var metadata: Metadata?
    var spec: Spec?
    var status: PodStatus?
    var message: String?
    var code: Int?

    /// The fields above, and of the labels those with the given keys.
    static func mask(labels: Set<String>) -> FieldMask {
        var metadata: [String: FieldMask] = [
            "uid": .scalar, "name": .scalar, "namespace": .scalar, "resourceVersion": .scalar,
            "deletionTimestamp": .scalar,
            "annotations": .scalars(["kubernetes.io/config.mirror", "kubernetes.io/config.hash"]),
        ]
        if !labels.isEmpty { metadata["labels"] = .scalars(labels) }
        return .members([
            "metadata": .members(metadata),
            "spec": .scalars(["serviceAccountName", "hostNetwork", "nodeName"]),
            "status": .scalars(["phase"]),
            "message": .scalar,
            "code": .scalar,
        ])
    }

    var uid: PodUID? { metadata?.uid.flatMap(PodUID.init) }

    /// The resource version, bounded, because it goes back into a URL.
    var resourceVersion: String? {
        metadata?.resourceVersion.flatMap { (1...128).contains($0.utf8.count) ? $0 : nil }
    }

    /// The pod of `nodeName` that this is; `nil` if it lacks a UID or a name, or belongs to another node.
    ///
    /// `isTooLarge`: the object was not read to its end, so that a field that is missing here may be there.
    func pod(of nodeName: String, isTooLarge: Bool = false) -> ObservedPod? {
        guard let metadata, let uid, let name = metadata.name, !name.isEmpty, let namespace = metadata.namespace,
            !namespace.isEmpty, spec?.nodeName ?? nodeName == nodeName
        else { return nil }
        let isMirror = metadata.annotations?["kubernetes.io/config.mirror"] != nil
        let record = PodRecord(
            uid: uid,
            namespace: namespace,
            name: name,
            serviceAccountName: spec?.serviceAccountName ?? "",
            phase: status?.phase.map { PodRecord.Phase(rawValue: $0) ?? .unknown } ?? .pending,
            isTerminating: metadata.deletionTimestamp != nil,
            isHostNetwork: spec?.hostNetwork ?? false,
            staticPodConfigHash: isMirror ? metadata.annotations?["kubernetes.io/config.hash"] : nil,
            isTooLarge: isTooLarge
        )
        return ObservedPod(record: record, isMirror: isMirror, labels: metadata.labels ?? [:])
    }
}

extension WireObject {
    /// Reads what a projector leaves. Throws if that is no object.
    init(_ node: JSONNode) throws(JSONNode.Mismatch) {
        metadata = try? node.member("metadata").map(Metadata.init)
        spec = try? node.member("spec").map(Spec.init)
        status = try? node.member("status").map(PodStatus.init)
        message = try? node.text("message")
        code = try? node.number("code")
        guard case .object = node else { throw JSONNode.Mismatch() }
    }
}

extension WireObject.Metadata {
    fileprivate init(_ node: JSONNode) throws(JSONNode.Mismatch) {
        uid = try node.text("uid")
        name = try node.text("name")
        namespace = try node.text("namespace")
        resourceVersion = try node.text("resourceVersion")
        deletionTimestamp = try node.text("deletionTimestamp")
        labels = try node.texts("labels")
        annotations = try node.texts("annotations")
    }
}

extension WireObject.Spec {
    fileprivate init(_ node: JSONNode) throws(JSONNode.Mismatch) {
        serviceAccountName = try node.text("serviceAccountName")
        hostNetwork = try node.flag("hostNetwork")
        nodeName = try node.text("nodeName")
    }
}

extension WireObject.PodStatus {
    fileprivate init(_ node: JSONNode) throws(JSONNode.Mismatch) {
        phase = try node.text("phase")
    }
}

/// A pod as a watch or a list shows it, with what only rules look at.
struct ObservedPod: Sendable, Equatable {
    /// The pod's record, without a policy of its own.
    var record: PodRecord
    /// Whether it is the mirror pod of a static pod, which no rule knows by its ServiceAccount.
    var isMirror = false
    /// The labels with the keys that were asked for.
    var labels: [String: String] = [:]

    /// The record with the policy that the first matching rule gives, and the labels that the audit names.
    func record(by policies: PolicyTable, auditing names: Set<String> = []) -> PodRecord {
        var record = record
        if !names.isEmpty { record.auditedLabels = labels.filter { names.contains($0.key) } }
        record.policy = policies.policy(
            namespace: record.namespace, serviceAccount: isMirror ? "" : record.serviceAccountName, labels: labels)
        return record
    }
}
