package import Tokens
import UpstreamHTTP

/// The facts of a `v1/Node` about the machine.
package struct NodeRecord: Sendable, Equatable {
    package var uid: String
    /// The labels and annotations in ``NodeRecord/labelKeys`` and ``NodeRecord/annotationKeys``.
    package var labels: [String: String]
    package var annotations: [String: String]
    /// `spec.providerID`, `PROVIDER://...`; set by the cloud controller manager, if there is one.
    package var providerID: String?
    /// `status.addresses` by type: `Hostname`, `InternalDNS` and others; the first of each.
    package var addresses: [String: String]

    package init(
        uid: String, labels: [String: String] = [:], annotations: [String: String] = [:], providerID: String? = nil,
        addresses: [String: String] = [:]
    ) {
        self.uid = uid
        self.labels = labels
        self.annotations = annotations
        self.providerID = providerID
        self.addresses = addresses
    }
}

extension KubernetesClient {
    /// Reads the Node object `name`: the Node authorizer allows a node its own, and no other.
    package func node(_ name: String) async throws(UpstreamFailure) -> NodeRecord {
        guard let segment = PercentEncoding.segment(name) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the node has no name")
        }
        let reading = try await readObject("/api/v1/nodes/\(segment)", mask: WireNode.mask)
        guard let node = reading.object(WireNode.self), node.metadata.name == name else {
            throw .unusable(reading.answer, "the answer is not the Node \(name)")
        }
        return NodeRecord(node)
    }
}

extension NodeRecord {
    private static let ownKeys = [
        "cluster-location", "cluster-name", "cluster-uid", "hostname", "instance-id", "zone",
    ].map { "podidentd.io/\($0)" }
    /// The labels that are read.
    static let labelKeys = ownKeys + ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"]
    /// The annotations that are read.
    static let annotationKeys = ownKeys + ["container.googleapis.com/instance_id"]

    fileprivate init(_ node: WireNode) {
        self.init(
            uid: node.metadata.uid,
            labels: node.metadata.labels ?? [:],
            annotations: node.metadata.annotations ?? [:],
            providerID: node.spec?.providerID,
            addresses: Dictionary(
                (node.status?.addresses ?? []).map { ($0.type, $0.address) }, uniquingKeysWith: { first, _ in first }
            )
        )
    }
}

private struct WireNode: Decodable {
    var metadata: Metadata
    var spec: Spec?
    var status: Status?

    /// The used members of a Node: names of images, which tenants choose, are not.
    static let mask = FieldMask.members([
        "metadata": .members([
            "name": .scalar, "uid": .scalar, "labels": .scalars(NodeRecord.labelKeys),
            "annotations": .scalars(NodeRecord.annotationKeys),
        ]),
        "spec": .members(["providerID": .scalar]),
        "status": .members(["addresses": .elements(.scalars(["type", "address"]))]),
    ])

    struct Metadata: Decodable {
        var name: String
        var uid: String
        var labels: [String: String]?
        var annotations: [String: String]?
    }

    struct Spec: Decodable {
        var providerID: String?
    }

    struct Status: Decodable {
        var addresses: [Address]?
    }

    struct Address: Decodable {
        var type: String
        var address: String
    }
}
