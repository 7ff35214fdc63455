import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

extension KubernetesClient {
    /// Reads a Lease; `nil`: there is none. The caller needs the rights to get, create and update it.
    package func lease(_ name: String, in namespace: String) async throws(UpstreamFailure) -> Lease? {
        do throws(UpstreamFailure) {
            let answer = try await send(.GET, try Self.path(ofLease: name, in: namespace))
            guard let lease = ProjectedJSON.decode(Lease.self, from: answer.body) else {
                throw .unusable(answer, "the answer is not a Lease")
            }
            return lease
        } catch  where error.status == 404 {
            return nil
        }
    }

    /// Creates a Lease, or replaces the one whose resource version it names.
    ///
    /// - Returns: Whether it was taken; `false`: another was faster.
    package func write(_ lease: Lease) async throws(UpstreamFailure) -> Bool {
        let (name, namespace) = (lease.metadata.name, lease.metadata.namespace)
        let isNew = lease.metadata.resourceVersion == nil
        let path = try Self.path(ofLease: isNew ? nil : name, in: namespace)
        do throws(UpstreamFailure) {
            _ = try await send(isNew ? .POST : .PUT, path, body: SortedJSON.bytes(of: lease))
            return true
        } catch  where error.status == 409 {
            return false
        }
    }

    private static func path(ofLease name: String?, in namespace: String) throws(UpstreamFailure) -> String {
        let segments = [namespace, name].compactMap { $0 }.compactMap { PercentEncoding.segment($0) }
        guard segments.count == (name == nil ? 1 : 2) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the Lease has no name")
        }
        let collection = "/apis/coordination.k8s.io/v1/namespaces/\(segments[0])/leases"
        return segments.count == 1 ? collection : "\(collection)/\(segments[1])"
    }
}
