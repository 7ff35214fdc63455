import Foundation
import NIOCore
import Synchronization

/// PodCertificateRequests and Leases: create, get, list, watch, and a signer's decision.
extension KubernetesEmulator {
    /// The requests, oldest first.
    package var podCertificateRequests: [LabPodCertificateRequest] {
        storage.withLock { $0.certificates.requests.values.sorted { $0.resourceVersion < $1.resourceVersion } }
    }

    /// Serves PodCertificateRequests in another version from now on.
    package func serve(_ support: PodCertificateSupport) {
        storage.withLock { $0.state.options.podCertificates = support }
    }

    /// The fields of a request that must be those of the pod.
    package func certificateFacts(namespace: String, pod name: String) throws(LabError) -> [String: String] {
        let state = storage.withLock { $0.state }
        guard let pod = state.pods[LabPod.Key(namespace, name)], let node = pod.nodeName,
            let account = state.serviceAccounts[LabPod.Key(namespace, pod.serviceAccountName)],
            let nodeUID = state.nodes[node]?.uid
        else { throw LabError("no pod \(namespace)/\(name) runs on a node") }
        return [
            "podName": name, "podUID": pod.uid, "serviceAccountName": pod.serviceAccountName,
            "serviceAccountUID": account.uid, "nodeName": node, "nodeUID": nodeUID,
        ]
    }

    /// The holder of each Lease, by name.
    package var leaseHolders: [String: String] {
        storage.withLock { storage in
            storage.certificates.leases.reduce(into: [:]) { holders, lease in
                holders[lease.key.name] = lease.value["spec"]?["holderIdentity"]?.string ?? ""
            }
        }
    }

    /// Changes a request before anybody has decided it, which no API server lets anybody do: a signer must not depend on that.
    package func tamper(with name: String, _ change: (inout LabPodCertificateRequest) -> Void) {
        storage.withLock { storage in
            guard let key = storage.certificates.requests.keys.first(where: { $0.name == name }) else { return }
            storage.changeRequest(key, change)
        }
    }

    /// Creates a request past NodeRestriction, as a user with a plain right to create would.
    package func plantRequest(namespace: String, name: String, spec: JSON) {
        let now = clock.now
        storage.withLock { storage in
            _ = storage.addRequest(
                LabPodCertificateRequest(
                    key: LabPod.Key(namespace, name), uid: UUID().uuidString.lowercased(), creationTimestamp: now,
                    resourceVersion: 0, spec: spec))
        }
    }

    /// The answer to discovery of one version of `certificates.k8s.io`; `nil`: it is another path.
    func certificateDiscovery(_ path: String) -> LabResponse? {
        let version = storage.withLock { $0.state.options.podCertificates.version }
        guard path == "/apis/certificates.k8s.io/v1" || path == "/apis/certificates.k8s.io/v1beta1" else { return nil }
        let asked = String(path.split(separator: "/").last ?? "")
        guard asked == "v1" || asked == version else { return .text(404, "404 page not found\n") }
        let own: [JSON] = [
            ["name": "podcertificaterequests", "namespaced": true, "kind": "PodCertificateRequest"],
            ["name": "clustertrustbundles", "namespaced": false, "kind": "ClusterTrustBundle"],
        ]
        let others: [JSON] = asked == "v1" ? [["name": "certificatesigningrequests", "namespaced": false]] : []
        return answer(
            200,
            [
                "kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": .string("certificates.k8s.io/\(asked)"),
                "resources": .array(others + (asked == version ? own : [])),
            ])
    }

    /// Answers requests about certificates, bundles, ConfigMaps and Leases; `nil`: it is about something else.
    func serveCertificates(
        _ request: LabRequest, _ access: AccessRequest, as user: KubernetesUser
    ) throws(KubernetesStatus) -> LabResponse? {
        let key = LabPod.Key(access.namespace ?? "", access.name)
        if access.group == "coordination.k8s.io" { return try serveLease(request, access, key) }
        if access.group.isEmpty, access.resource == "configmaps" { return try serveConfigMap(request, access, key) }
        guard access.group == "certificates.k8s.io" else { return nil }
        let version = storage.withLock { $0.state.options.podCertificates.version }
        guard access.version == version else { return answer(404, Self.absent) }
        if access.resource == "clustertrustbundles" { return try serveTrustBundle(request, access, as: user) }
        switch (access.qualifiedResource, access.verb) {
        case ("podcertificaterequests", "create"):
            return answer(201, try createRequest(request, access, as: user))
        case ("podcertificaterequests", "get"):
            guard let found = storage.withLock({ $0.certificates.requests[key] }) else {
                throw .notFound("podcertificaterequests", access.name)
            }
            return answer(200, found.json(version: access.version))
        case ("podcertificaterequests", "list"):
            let selector = FieldSelector(request, access)
            let (items, now) = storage.withLock { storage in
                (storage.certificates.requests.values.filter(selector.matches), storage.state.resourceVersion)
            }
            return answer(
                200,
                [
                    "kind": "PodCertificateRequestList", "apiVersion": .string("certificates.k8s.io/\(access.version)"),
                    "metadata": ["resourceVersion": .string(String(now))],
                    "items": .array(items.map { $0.json(version: access.version) }),
                ])
        case ("podcertificaterequests", "watch"):
            let selector = FieldSelector(request, access)
            let from = UInt64(request.query("resourceVersion") ?? "") ?? 0
            let seconds = request.query("timeoutSeconds").flatMap(Int.init) ?? 300
            return LabResponse(
                status: 200, headers: [("Content-Type", "application/json")],
                body: .stream {
                    try await self.watchRequests(selector, from: from, seconds: seconds, access.version, $0)
                })
        case ("podcertificaterequests/status", "patch"):
            return answer(200, try decide(request, access, key, as: user))
        default: return .text(404, "404 page not found\n")
        }
    }

    private static let absent = KubernetesStatus(
        code: 404, reason: "NotFound", message: "the server could not find the requested resource", details: [:]
    ).json

    private func createRequest(
        _ request: LabRequest, _ access: AccessRequest, as user: KubernetesUser
    ) throws(KubernetesStatus) -> JSON {
        guard let body = try? JSON(parsing: request.body.readableBytesView), let spec = body["spec"],
            let name = body["metadata"]?["name"]?.string, !name.isEmpty,
            body["metadata"]?["namespace"]?.string == access.namespace
        else { throw .badRequest("the object provided is unrecognized (must be of type PodCertificateRequest)") }
        let key = LabPod.Key(access.namespace ?? "", name)
        let created = storage.withLock { storage in
            Result { () throws(KubernetesStatus) in
                try storage.state.checkRequest(spec, named: key, by: user)
                guard storage.certificates.requests[key] == nil else {
                    throw KubernetesStatus(
                        code: 409, reason: "AlreadyExists",
                        message: "podcertificaterequests.certificates.k8s.io \"\(name)\" already exists")
                }
                return storage.addRequest(
                    LabPodCertificateRequest(
                        key: key, uid: UUID().uuidString.lowercased(), creationTimestamp: clock.now,
                        resourceVersion: 0, spec: spec))
            }
        }
        return try created.get().json(version: access.version)
    }

    private func decide(
        _ request: LabRequest, _ access: AccessRequest, _ key: LabPod.Key, as user: KubernetesUser
    ) throws(KubernetesStatus) -> JSON {
        guard request.header("content-type") == "application/merge-patch+json",
            let patch = try? JSON(parsing: request.body.readableBytesView), let status = patch["status"]
        else { throw .badRequest("the body of the request was in an unknown format") }
        let changed = storage.withLock { storage in
            Result { () throws(KubernetesStatus) in
                guard let found = storage.certificates.requests[key] else {
                    throw .notFound("podcertificaterequests", key.name)
                }
                let signer = found.text("signerName")
                let maySign = storage.state.grants.contains {
                    $0.allows(
                        user, verb: "sign", group: "certificates.k8s.io", resource: "signers", name: signer,
                        namespace: nil)
                }
                guard maySign else {
                    throw .forbidden(
                        "podcertificaterequests", key.name, group: "certificates.k8s.io",
                        "user not permitted to sign requests with signerName \"\(signer)\"")
                }
                let version = patch["metadata"]?["resourceVersion"]?.string
                guard version == nil || version == String(found.resourceVersion) else {
                    throw .conflict(
                        "podcertificaterequests", key.name, group: "certificates.k8s.io",
                        "the object has been modified; please apply your changes to the latest version and try again")
                }
                try storage.state.checkStatus(status, of: found, now: clock.now)
                storage.changeRequest(key) { $0.status = status }
                return storage.certificates.requests[key] ?? found
            }
        }
        return try changed.get().json(version: access.version)
    }

    // MARK: - Watches

    private func watchRequests(
        _ selector: FieldSelector, from version: UInt64, seconds: Int, _ apiVersion: String, _ writer: LabBodyWriter
    ) async throws {
        let (changes, continuation) = AsyncStream.makeStream(
            of: CertificateState.Change.self, bufferingPolicy: .bufferingOldest(4096))
        let (number, past) = storage.withLock { storage in
            storage.nextWatch += 1
            storage.certificates.watches[storage.nextWatch] = continuation
            return (storage.nextWatch, storage.certificates.history.filter { $0.request.resourceVersion > version })
        }
        defer { storage.withLock { $0.certificates.watches[number] = nil } }
        let end = Task {
            try? await Task.sleep(for: .seconds(seconds))
            continuation.finish()
        }
        defer { end.cancel() }
        func line(_ change: CertificateState.Change) -> ByteBuffer? {
            guard selector.matches(change.request) else { return nil }
            let event: JSON = [
                "type": .string(change.type), "object": change.request.json(version: apiVersion),
            ]
            return ByteBuffer(string: event.text + "\n")
        }
        for change in past { if let line = line(change) { try await writer.write(line) } }
        for await change in changes { if let line = line(change) { try await writer.write(line) } }
    }
}
