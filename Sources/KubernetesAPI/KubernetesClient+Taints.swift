import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

/// Taking a taint from a Node. Reading one's own Node needs no right beyond a node's; changing its taints needs one that no
/// node has.
extension KubernetesClient {
    /// The keys of the Node's taints, in the Node's order, which is what ``removeTaints(_:at:fromNode:)`` counts by.
    package func taintKeys(ofNode name: String) async throws(UpstreamFailure) -> [String] {
        let reading = try await readObject(try Self.path(ofNode: name), mask: TaintedNode.mask)
        guard let node = reading.object(TaintedNode.self), node.metadata.name == name else {
            throw .unusable(reading.answer, "the answer is not the Node \(name)")
        }
        return (node.spec?.taints ?? []).map(\.key)
    }

    /// Removes the taints at `indices`, all of which must have the key `key` still: if the list has changed since it was
    /// read, nothing is removed and the API server answers 422.
    package func removeTaints(
        _ key: String, at indices: [Int], fromNode name: String
    ) async throws(UpstreamFailure) {
        // From the end on, so that no removal moves another one.
        let patch = indices.sorted(by: >).flatMap { index in
            [
                PatchOperation(op: "test", path: "/spec/taints/\(index)/key", value: key),
                PatchOperation(op: "remove", path: "/spec/taints/\(index)"),
            ]
        }
        let body = SortedJSON.bytes(of: patch)
        let reader = ObjectReader(mask: .members([:]))
        _ = try await read(.PATCH, try Self.path(ofNode: name), body: body, reader: reader) { call in
            call.headers.replaceOrAdd(name: "content-type", value: "application/json-patch+json")
            // The answer is the whole Node.
            call.bodyLimit = ObjectSize.written
        }
    }

    private static func path(ofNode name: String) throws(UpstreamFailure) -> String {
        guard let segment = PercentEncoding.segment(name) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the node has no name")
        }
        return "/api/v1/nodes/\(segment)"
    }
}

/// One step of RFC 6902.
private struct PatchOperation: Encodable {
    var op: String
    var path: String
    var value: String?
}

private struct TaintedNode: Decodable {
    var metadata: Metadata
    var spec: Spec?

    static let mask = FieldMask.members([
        "metadata": .scalars(["name"]), "spec": .members(["taints": .elements(.scalars(["key"]))]),
    ])

    struct Metadata: Decodable {
        var name: String
    }

    struct Spec: Decodable {
        var taints: [Taint]?
    }

    struct Taint: Decodable {
        var key: String
    }
}
