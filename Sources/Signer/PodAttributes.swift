package import KubernetesAPI
import SpiffeIdentity
import Tokens

/// The attributes of a pod that become claims, beside what its token proves. Each is read from the API server, never believed
/// from a node.
package struct ClaimConfiguration: Sendable, Hashable {
    /// Names of pod labels.
    package var labels: [String] = []
    /// Whether the zone of the pod's node is a claim.
    package var hasZone = false
    /// Whether the container that asks is a claim.
    package var hasContainer = false

    package init() {}

    var isEmpty: Bool { labels.isEmpty && !hasZone && !hasContainer }
}

/// Attributes of one pod, for the claim `podidentd.io`.
package struct PodAttributes: Sendable, Hashable {
    package var labels: [String: String]
    package var zone: String?
    /// The container that asked, by the name and the ID that the API server has.
    package var container: PodContainer?

    package init(labels: [String: String] = [:], zone: String? = nil, container: PodContainer? = nil) {
        self.labels = labels
        self.zone = zone
        self.container = container
    }

    /// The value of the claim; members that the pod has not are left out.
    var claim: JSONValue {
        var members: [String: JSONValue] = [:]
        if !labels.isEmpty { members["labels"] = .object(labels.mapValues { .string($0) }) }
        if let zone { members["zone"] = .string(zone) }
        if let container {
            members["container"] = .object(["name": .string(container.name), "id": .string(container.id)])
        }
        return .object(members)
    }
}

extension TokenReviewer {
    private static let zoneLabel = "topology.kubernetes.io/zone"

    package func attributes(
        _ wanted: ClaimConfiguration, of pod: ReviewedPod
    ) async throws(ExchangeRefusal) -> PodAttributes {
        var attributes = PodAttributes()
        do throws(UpstreamFailure) {
            if wanted.hasZone, let node = pod.node {
                attributes.zone = try await client.node(node).labels[Self.zoneLabel]
            }
            let container = wanted.hasContainer ? pod.container : nil
            guard !wanted.labels.isEmpty || container != nil else { return attributes }
            let found = try await client.attributes(
                labels: wanted.labels, container: container, ofPod: pod.name, namespace: pod.namespace, uid: pod.uid)
            if let found {
                (attributes.labels, attributes.container) = (found.labels, found.container)
                return attributes
            }
        } catch {
            throw ExchangeRefusal(status: 503, reason: "a claim cannot be read: \(error.message)")
        }
        throw ExchangeRefusal(status: 401, reason: "the pod of that name is another by now")
    }
}
