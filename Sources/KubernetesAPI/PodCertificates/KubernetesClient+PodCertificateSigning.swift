import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

/// The signer's side of PodCertificateRequests.
extension KubernetesClient {
    /// Requests of one page; each is a few kilobytes.
    private static let pageSize = 200
    private static let pageBytes = 8 << 20
    /// The most pages, far above what a cluster keeps of requests: they are removed after some 15 minutes.
    private static let pageLimit = 4096

    /// Lists the requests of one signer, page by page.
    ///
    /// - Parameters:
    ///   - signer: The name of the signer.
    ///   - version: The served version.
    ///   - receive: Takes each request.
    /// - Returns: The resource version from which a watch goes on.
    /// - Throws: The failure of a page.
    package func listPodCertificateRequests(
        of signer: String, _ version: PodCertificateVersion, receive: (PodCertificateRequest) -> Void
    ) async throws(UpstreamFailure) -> String {
        let path = try Self.path(version, namespace: nil)
        var token = ""
        for _ in 0..<Self.pageLimit {
            let query = PercentEncoding.form([
                "fieldSelector": "spec.signerName=\(signer)", "limit": "\(Self.pageSize)", "continue": token,
            ])
            let answer = try await send(.GET, "\(path)?\(query)") { $0.bodyLimit = Self.pageBytes }
            guard let page = ProjectedJSON.decode(Page.self, from: answer.body) else {
                throw .unusable(answer, "the answer is no list of PodCertificateRequests")
            }
            for request in page.items { receive(request) }
            token = page.metadata.continue ?? ""
            if token.isEmpty { return page.metadata.resourceVersion }
        }
        throw UpstreamFailure(
            upstream: .kubernetes, kind: .unavailable,
            message: "the list of PodCertificateRequests has more than \(Self.pageLimit) pages")
    }

    /// Watches the requests of one signer until the server ends the watch, or `receive` says `false`.
    package func watchPodCertificateRequests(
        of signer: String, _ version: PodCertificateVersion, from resourceVersion: String, seconds: Int,
        receive: (PodCertificateEvent) -> Bool
    ) async throws(UpstreamFailure) {
        let query = PercentEncoding.form([
            "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resourceVersion,
            "timeoutSeconds": "\(seconds)", "fieldSelector": "spec.signerName=\(signer)",
        ])
        let credentials = await credentials.current()
        if let problem = credentials.problem { throw UpstreamFailure(noCredentials: problem) }
        let call = call(.GET, "\(try Self.path(version, namespace: nil))?\(query)", as: credentials)
        var events = PodCertificateEvents()
        let end: UpstreamStreamEnd
        do throws(TransportError) {
            end = try await watchClient.stream(call, opened: {}) { chunk in
                guard let read = events.read(chunk) else { return false }
                return read.allSatisfy(receive)
            }
        } catch {
            throw error.failure(of: .kubernetes, at: "Kubernetes API server \(server)")
        }
        guard case .answered(let answer) = end else { return }
        if answer.status == 401 { self.credentials.distrust() }
        throw UpstreamFailure(kubernetes: answer)
    }

    /// Writes the signer's decision, if the request is as it was read: the API server refuses another's second decision.
    package func setStatus(
        _ status: PodCertificateRequest.Status, of request: PodCertificateRequest, _ version: PodCertificateVersion
    ) async throws(UpstreamFailure) {
        let path = try Self.path(version, namespace: request.metadata.namespace, name: request.metadata.name)
        let patch = StatusPatch(
            metadata: StatusPatch.Metadata(
                uid: request.metadata.uid, resourceVersion: request.metadata.resourceVersion), status: status)
        _ = try await send(.PATCH, path + "/status", body: SortedJSON.bytes(of: patch)) {
            $0.headers.replaceOrAdd(name: "content-type", value: "application/merge-patch+json")
        }
    }

    private struct Page: Decodable {
        var metadata: Metadata
        var items: [PodCertificateRequest]

        struct Metadata: Decodable {
            var resourceVersion: String
            var `continue`: String?
        }
    }

    private struct StatusPatch: Encodable {
        var metadata: Metadata
        var status: PodCertificateRequest.Status

        struct Metadata: Encodable {
            var uid: String?
            var resourceVersion: String?
        }
    }
}

/// A pod as a signer compares it with what a node says.
package struct PodFacts: Sendable, Hashable {
    package var uid: String
    package var node: String
    package var serviceAccount: String
    package var phase: String

    package init(uid: String, node: String, serviceAccount: String, phase: String) {
        self.uid = uid
        self.node = node
        self.serviceAccount = serviceAccount
        self.phase = phase
    }
}

extension KubernetesClient {
    /// Reads what the API server knows of a pod; `nil`: there is none of that name. The caller needs the right to get pods.
    package func podFacts(namespace: String, name: String) async throws(UpstreamFailure) -> PodFacts? {
        guard let namespaceSegment = PercentEncoding.segment(namespace), let segment = PercentEncoding.segment(name)
        else { return nil }
        let mask = FieldMask.members([
            "metadata": .scalars(["uid"]), "spec": .scalars(["nodeName", "serviceAccountName"]),
            "status": .scalars(["phase"]),
        ])
        let reading: UpstreamReading<ObjectReader>
        do throws(UpstreamFailure) {
            reading = try await readObject("/api/v1/namespaces/\(namespaceSegment)/pods/\(segment)", mask: mask)
        } catch  where error.status == 404 {
            return nil
        }
        guard let pod = reading.object(WirePod.self) else { throw .unusable(reading.answer, "the answer is not a Pod") }
        return PodFacts(
            uid: pod.metadata.uid, node: pod.spec?.nodeName ?? "", serviceAccount: pod.spec?.serviceAccountName ?? "",
            phase: pod.status?.phase ?? "")
    }

    /// Reads the UID of a ServiceAccount; `nil`: there is none of that name. The caller needs the right to get it.
    package func uid(ofServiceAccount name: String, in namespace: String) async throws(UpstreamFailure) -> String? {
        guard let namespace = PercentEncoding.segment(namespace), let name = PercentEncoding.segment(name) else {
            return nil
        }
        return try await uid(at: "/api/v1/namespaces/\(namespace)/serviceaccounts/\(name)")
    }

    /// Reads the UID of a Node; `nil`: there is none of that name. The caller needs the right to get it.
    package func uid(ofNode name: String) async throws(UpstreamFailure) -> String? {
        guard let name = PercentEncoding.segment(name) else { return nil }
        return try await uid(at: "/api/v1/nodes/\(name)")
    }

    private func uid(at path: String) async throws(UpstreamFailure) -> String? {
        do throws(UpstreamFailure) {
            let reading = try await readObject(path, mask: .members(["metadata": .scalars(["uid"])]))
            guard let object = reading.object(WireReference.self) else {
                throw .unusable(reading.answer, "the answer has no UID")
            }
            return object.metadata.uid
        } catch  where error.status == 404 {
            return nil
        }
    }
}

private struct WireReference: Decodable {
    var metadata: Metadata

    struct Metadata: Decodable {
        var uid: String
    }
}

private struct WirePod: Decodable {
    var metadata: WireReference.Metadata
    var spec: Spec?
    var status: Status?

    struct Spec: Decodable {
        var nodeName: String?
        var serviceAccountName: String?
    }

    struct Status: Decodable {
        var phase: String?
    }
}
