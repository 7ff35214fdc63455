package import Foundation

/// A pod in the emulated cluster.
package struct LabPod: Sendable, Equatable {
    /// Namespace and name; unique at any moment, reusable over time.
    package struct Key: Sendable, Hashable, Comparable {
        package var namespace: String
        package var name: String

        package init(_ namespace: String, _ name: String) {
            self.namespace = namespace
            self.name = name
        }

        package static func < (left: Key, right: Key) -> Bool {
            (left.namespace, left.name) < (right.namespace, right.name)
        }
    }

    package var namespace: String
    package var name: String
    package var uid: String
    /// Empty for mirror pods of static pods.
    package var serviceAccountName: String
    /// `nil`: not scheduled yet.
    package var nodeName: String?
    package var labels: [String: String]
    package var annotations: [String: String]
    package var isHostNetwork: Bool
    package var phase: String
    package var podIP: String?
    package var hostIP: String?
    package var creationTimestamp: Date
    package var deletionTimestamp: Date?
    package var deletionGracePeriodSeconds: Int?
    /// Whether the default token volume is there: `automountServiceAccountToken` is not `false`.
    package var automountsServiceAccountToken: Bool
    /// Audiences of projected `serviceAccountToken` volumes and of CSI drivers' `tokenRequests`.
    package var volumeAudiences: [String]
    /// The signers of projected `podCertificate` volumes.
    package var volumeSigners: Set<String> = []
    /// The ID of each container that its status shows, by the container's name.
    package var containerIDs: [String: String] = [:]
    package var resourceVersion: UInt64
    /// The value of an environment variable, where a pod is to be large.
    package var environmentValue: JSON?

    package var key: Key { Key(namespace, name) }

    /// Audiences that the pod's volumes name; `""` is the default token's.
    var tokenAudiences: Set<String> {
        Set(volumeAudiences).union(automountsServiceAccountToken ? [""] : [])
    }

    /// The object as it appears in lists; watches and single reads carry kind and apiVersion.
    func json(withTypeMeta: Bool) -> JSON {
        [
            "kind": withTypeMeta ? "Pod" : nil,
            "apiVersion": withTypeMeta ? "v1" : nil,
            "metadata": metadata,
            "spec": spec,
            "status": status,
        ]
    }

    private var metadata: JSON {
        [
            "name": .string(name),
            "namespace": .string(namespace),
            "uid": .string(uid),
            "resourceVersion": .string(String(resourceVersion)),
            "creationTimestamp": .string(Timestamp.rfc3339(creationTimestamp)),
            "deletionTimestamp": deletionTimestamp.map { .string(Timestamp.rfc3339($0)) },
            "deletionGracePeriodSeconds": deletionGracePeriodSeconds.map { .integer(Int64($0)) },
            "labels": .map(labels),
            "annotations": .map(annotations),
        ]
    }

    private var spec: JSON {
        var volumes = volumeAudiences.enumerated().map { index, audience in
            Self.tokenVolume("token-\(index)", audience: audience, seconds: 3600)
        }
        if automountsServiceAccountToken {
            volumes.append(Self.tokenVolume("kube-api-access", audience: nil, seconds: 3607))
        }
        return [
            "volumes": volumes.isEmpty ? nil : .array(volumes),
            "containers": [["name": "main", "image": "lab/pod:1", "env": environment]],
            "serviceAccountName": serviceAccountName.isEmpty ? nil : .string(serviceAccountName),
            "serviceAccount": serviceAccountName.isEmpty ? nil : .string(serviceAccountName),
            "automountServiceAccountToken": automountsServiceAccountToken ? nil : false,
            "nodeName": nodeName.map { .string($0) },
            "hostNetwork": isHostNetwork ? true : nil,
        ]
    }

    private var environment: JSON? {
        environmentValue.map { .array([["name": "PADDING", "value": $0]]) }
    }

    private var status: JSON {
        let hostIPs = hostIP.map { JSON.array([["ip": .string($0)]]) }
        let podIPs = podIP.map { JSON.array([["ip": .string($0)]]) }
        let containers = containerIDs.sorted { $0.key < $1.key }.map { name, id -> JSON in
            ["name": .string(name), "containerID": .string("containerd://" + id)]
        }
        return [
            "containerStatuses": containers.isEmpty ? nil : .array(containers),
            "phase": .string(phase), "hostIP": hostIP.map { .string($0) }, "hostIPs": hostIPs,
            "podIP": podIP.map { .string($0) }, "podIPs": podIPs,
        ]
    }

    private static func tokenVolume(_ name: String, audience: String?, seconds: Int64) -> JSON {
        [
            "name": .string(name),
            "projected": [
                "sources": [
                    [
                        "serviceAccountToken": [
                            "audience": audience.map { .string($0) }, "expirationSeconds": .integer(seconds),
                            "path": "token",
                        ]
                    ]
                ]
            ],
        ]
    }
}

/// A ServiceAccount in the emulated cluster.
package struct LabServiceAccount: Sendable, Equatable {
    package var namespace: String
    package var name: String
    package var uid: String
    package var annotations: [String: String]
    package var creationTimestamp: Date
    package var resourceVersion: UInt64

    var json: JSON {
        [
            "kind": "ServiceAccount",
            "apiVersion": "v1",
            "metadata": [
                "name": .string(name),
                "namespace": .string(namespace),
                "uid": .string(uid),
                "resourceVersion": .string(String(resourceVersion)),
                "creationTimestamp": .string(Timestamp.rfc3339(creationTimestamp)),
                "annotations": .map(annotations),
            ],
        ]
    }
}
