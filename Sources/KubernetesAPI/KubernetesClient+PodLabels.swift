package import Tokens
import UpstreamHTTP

extension KubernetesClient {
    /// Reads the labels of these names of a pod, as the API server has them now; `nil` if the pod of that name is another.
    /// The caller needs the right to get pods.
    package func labels(
        _ names: [String], ofPod name: String, namespace: String, uid: String
    ) async throws(UpstreamFailure) -> [String: String]? {
        guard let namespace = PercentEncoding.segment(namespace), let name = PercentEncoding.segment(name) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the pod has no name")
        }
        let mask = FieldMask.members(["metadata": .members(["uid": .scalar, "labels": .scalars(names)])])
        let reading = try await readObject("/api/v1/namespaces/\(namespace)/pods/\(name)", mask: mask)
        guard let pod = reading.object(WirePodLabels.self) else {
            throw .unusable(reading.answer, "the answer is not a Pod")
        }
        guard pod.metadata.uid == uid else { return nil }
        return (pod.metadata.labels ?? [:]).filter { names.contains($0.key) }
    }
}

private struct WirePodLabels: Decodable {
    var metadata: Metadata

    struct Metadata: Decodable {
        var uid: String
        var labels: [String: String]?
    }
}
