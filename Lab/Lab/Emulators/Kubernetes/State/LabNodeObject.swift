/// A Node object in the emulated cluster.
package struct LabNodeObject: Sendable, Equatable {
    package let name: String
    package let uid: String
    package var labels: [String: String]
    package var annotations: [String: String] = [:]
    /// `spec.providerID`, as a cloud controller manager sets it.
    package var providerID: String?
    /// `spec.taints`.
    package var taints: [Taint] = []
    /// `status.addresses` by type.
    package var addresses: [String: String]
    var resourceVersion: UInt64 = 0

    package struct Taint: Sendable, Equatable {
        package var key: String
        package var effect: String

        package init(key: String, effect: String = "NoSchedule") {
            self.key = key
            self.effect = effect
        }
    }

    init(name: String, uid: String) {
        self.name = name
        self.uid = uid
        self.labels = ["kubernetes.io/hostname": name]
        self.addresses = ["Hostname": name]
    }

    /// The object as it appears in lists; single reads carry kind and apiVersion.
    func json(withTypeMeta: Bool) -> JSON {
        let addresses = addresses.sorted { $0.key < $1.key }.map { type, address -> JSON in
            ["type": .string(type), "address": .string(address)]
        }
        let metadata: JSON = [
            "name": .string(name),
            "uid": .string(uid),
            "resourceVersion": .string(String(resourceVersion)),
            "labels": .map(labels),
            "annotations": .map(annotations),
        ]
        return [
            "kind": withTypeMeta ? "Node" : nil,
            "apiVersion": withTypeMeta ? "v1" : nil,
            "metadata": metadata,
            "spec": [
                "providerID": providerID.map { .string($0) },
                "taints": taints.isEmpty
                    ? nil
                    : .array(taints.map { ["key": .string($0.key), "effect": .string($0.effect)] }),
            ],
            "status": ["addresses": .array(addresses)],
        ]
    }
}
