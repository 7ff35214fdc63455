import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

/// PodCertificateRequests, asked by nodes and decided by signers.
extension KubernetesClient {
    /// Finds the newest version of the API that serves PodCertificateRequests; `nil`: none does.
    package func podCertificateVersion() async throws(UpstreamFailure) -> PodCertificateVersion? {
        try await certificateVersion(serving: "podcertificaterequests")
    }

    /// Finds the newest version of `certificates.k8s.io` that serves a resource; `nil`: none does.
    ///
    /// Kubernetes 1.36 and older have v1 without PodCertificateRequests and ClusterTrustBundles.
    package func certificateVersion(
        serving resource: String
    ) async throws(UpstreamFailure) -> PodCertificateVersion? {
        for version in PodCertificateVersion.allCases {
            do throws(UpstreamFailure) {
                let answer = try await send(.GET, "/apis/\(version.groupVersion)")
                guard let list = ProjectedJSON.decode(ResourceList.self, from: answer.body) else {
                    throw .unusable(answer, "the answer is no list of resources")
                }
                if list.resources.contains(where: { $0.name == resource }) { return version }
            } catch  where error.status == 404 {
                continue
            }
        }
        return nil
    }

    /// Creates a request in its namespace, and makes sure that the answer is that request.
    package func create(
        _ request: PodCertificateRequest, _ version: PodCertificateVersion
    ) async throws(UpstreamFailure) -> PodCertificateRequest {
        var wire = request
        wire.apiVersion = version.groupVersion
        wire.kind = "PodCertificateRequest"
        let path = try Self.path(version, namespace: request.metadata.namespace)
        let answer = try await send(.POST, path, body: SortedJSON.bytes(of: wire))
        guard let created = ProjectedJSON.decode(PodCertificateRequest.self, from: answer.body),
            created.metadata.name == request.metadata.name, created.metadata.uid?.isEmpty == false,
            created.spec.podUID == request.spec.podUID,
            created.spec.stubPKCS10Request == request.spec.stubPKCS10Request
        else { throw .unusable(answer, "the API server answered with another PodCertificateRequest") }
        return created
    }

    /// Watches a request that this node has created until a signer has decided it.
    ///
    /// - Parameters:
    ///   - request: The request as the API server answered it.
    ///   - version: The served version.
    ///   - limit: How long to wait.
    /// - Returns: The decided request; `nil` if no signer decided it in time.
    /// - Throws: The failure of the watch.
    package func decision(
        on request: PodCertificateRequest, _ version: PodCertificateVersion, within limit: Duration
    ) async throws(UpstreamFailure) -> PodCertificateRequest? {
        let metadata = request.metadata
        guard let uid = metadata.uid else { return nil }
        let query = PercentEncoding.form([
            "watch": "true", "resourceVersion": metadata.resourceVersion ?? "",
            "timeoutSeconds": "\(limit.components.seconds)",
            // A node may watch by its own name alone.
            "fieldSelector": "spec.nodeName=\(request.spec.nodeName),metadata.name=\(metadata.name)",
        ])
        let path = try Self.path(version, namespace: metadata.namespace)
        let reading = try await read(
            .GET, "\(path)?\(query)", reader: PodCertificateDecisionReader(uid: uid), isWatch: true
        ) {
            // The server ends the watch first, and a server that does not is left.
            $0.timeout = limit + options.callTimeout
            $0.bodyLimit = 4 * PodCertificateEvents.lineLimit
        }
        switch reading.reader?.end {
        case .decided(let request): return request
        case .gone, .unreadable:
            throw .unusable(reading.answer, "the watch of PodCertificateRequest \(metadata.name) ended early")
        case nil: return nil
        }
    }

    static func path(
        _ version: PodCertificateVersion, namespace: String?, name: String? = nil
    ) throws(UpstreamFailure) -> String {
        let base = "/apis/\(version.groupVersion)"
        guard let namespace else { return base + "/podcertificaterequests" }
        guard let namespace = PercentEncoding.segment(namespace) else {
            throw UpstreamFailure(
                upstream: .kubernetes, kind: .misconfigured, message: "the PodCertificateRequest has no namespace")
        }
        let collection = "\(base)/namespaces/\(namespace)/podcertificaterequests"
        guard let name else { return collection }
        guard let name = PercentEncoding.segment(name) else {
            throw UpstreamFailure(
                upstream: .kubernetes, kind: .misconfigured, message: "the PodCertificateRequest has no name")
        }
        return "\(collection)/\(name)"
    }

    private struct ResourceList: Decodable {
        var resources: [Resource]

        struct Resource: Decodable {
            var name: String
        }
    }
}
