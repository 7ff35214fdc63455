package import Tokens
import UpstreamHTTP

/// A container of a pod, as the API server has it.
package struct PodContainer: Sendable, Hashable {
    package var name: String
    package var id: String

    package init(name: String, id: String) {
        self.name = name
        self.id = id
    }
}

extension KubernetesClient {
    /// Reads labels of a pod, and which of its containers has an ID, as the API server has them now. The caller needs the right to
    /// get pods.
    ///
    /// - Returns: The labels of those names and the container, if the pod has one of that ID; `nil`: the pod of that name is another.
    package func attributes(
        labels names: [String], container id: String?, ofPod name: String, namespace: String, uid: String
    ) async throws(UpstreamFailure) -> (labels: [String: String], container: PodContainer?)? {
        guard let namespace = PercentEncoding.segment(namespace), let name = PercentEncoding.segment(name) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the pod has no name")
        }
        let statuses = FieldMask.elements(.scalars(["name", "containerID"]))
        let mask = FieldMask.members([
            "metadata": .members(["uid": .scalar, "labels": .scalars(names)]),
            "status": .members([
                "containerStatuses": statuses, "initContainerStatuses": statuses,
                "ephemeralContainerStatuses": statuses,
            ]),
        ])
        let reading = try await readObject("/api/v1/namespaces/\(namespace)/pods/\(name)", mask: mask)
        guard let pod = reading.object(WirePodAttributes.self) else {
            throw .unusable(reading.answer, "the answer is not a Pod")
        }
        guard pod.metadata.uid == uid else { return nil }
        return (
            (pod.metadata.labels ?? [:]).filter { names.contains($0.key) },
            id.flatMap { pod.status?.container(of: $0) }
        )
    }
}

private struct WirePodAttributes: Decodable {
    var metadata: Metadata
    var status: Status?

    struct Metadata: Decodable {
        var uid: String
        var labels: [String: String]?
    }

    struct Status: Decodable {
        var containerStatuses: [Container]?
        var initContainerStatuses: [Container]?
        var ephemeralContainerStatuses: [Container]?

        func container(of id: String) -> PodContainer? {
            let all = [containerStatuses, initContainerStatuses, ephemeralContainerStatuses].flatMap { $0 ?? [] }
            // The API has the runtime's name before it: containerd://ID.
            return all.first { $0.containerID?.hasSuffix("://" + id) == true }
                .map { PodContainer(name: $0.name, id: id) }
        }
    }

    struct Container: Decodable {
        var name: String
        var containerID: String?
    }
}
