import FoundationEssentials
import NIOHTTP1
package import Tokens
import UpstreamHTTP

/// What a `v1/Node` says about the machine.
package struct NodeRecord: Sendable, Equatable {
    package var uid: String
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
    /// etcd limits an object to 1.5 MB, some of it escaped. Most Nodes are about 20 KB, the names of images above all.
    private static let nodeBodyLimit = 4 << 20

    /// Reads the Node object `name`: the Node authorizer allows a node its own, and no other.
    package func node(_ name: String) async throws(UpstreamFailure) -> NodeRecord {
        guard let segment = PercentEncoding.segment(name) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the node has no name")
        }
        let answer = try await send(.GET, "/api/v1/nodes/\(segment)") { $0.bodyLimit = Self.nodeBodyLimit }
        guard let node = try? JSONDecoder().decode(WireNode.self, from: Data(answer.body)), node.metadata.name == name
        else {
            throw .unusable(answer, "the answer is not the Node \(name)")
        }
        return NodeRecord(node)
    }
}

extension NodeRecord {
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
