import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// Requests to the API server: authenticate, authorize, serve.
extension KubernetesEmulator {
    /// Answers one request as the API server does.
    package func handle(_ request: LabRequest) async -> LabResponse {
        guard let user = authenticate(request) else { return answer(.unauthorized) }
        let isWatch = ["true", "1"].contains(request.query("watch"))
        let access = AccessRequest(method: request.method, path: request.path, isWatch: isWatch)
        var response: LabResponse
        do throws(KubernetesStatus) {
            if user == .anonymous, access.isResource { throw .unauthorized }
            // Requests for certificates have fields of their own, which the authorizer alone looks at here.
            let isAboutCertificates = access.group == "certificates.k8s.io"
            let selector = PodSelector(
                namespace: access.resource == "namespaces" ? nil : access.namespace,
                fieldSelector: request.query("fieldSelector").map { text in
                    isAboutCertificates
                        ? text.split(separator: ",").filter { !$0.hasPrefix("spec.signerName=") }.joined(separator: ",")
                        : text
                },
                labelSelector: request.query("labelSelector")
            )
            let state = storage.withLock { $0.state }
            try state.authorize(user, access, selector: selector, now: clock.now)
            response = try serve(request, access, selector: selector, as: user, state)
        } catch {
            response = answer(error)
        }
        response.user = user.name
        return response
    }

    private func serve(
        _ request: LabRequest, _ access: AccessRequest, selector: PodSelector?, as user: KubernetesUser,
        _ state: ClusterState
    ) throws(KubernetesStatus) -> LabResponse {
        guard access.isResource else { return servePath(request) }
        let key = LabPod.Key(access.namespace ?? "", access.name)
        if let response = try serveCertificates(request, access, as: user) { return response }
        switch (access.qualifiedResource, access.verb) {
        case ("pods", "list"):
            return answer(200, try list(request, selector: try known(selector)))
        case ("pods", "watch"):
            let watch = try PodWatch(request, selector: try known(selector))
            return LabResponse(
                status: 200,
                headers: Self.headers,
                body: .stream { try await self.watch(watch, to: $0) }
            )
        case ("pods", "get"):
            guard let pod = state.pods[key] else { throw .notFound("pods", access.name) }
            return answer(200, pod.json(withTypeMeta: true))
        case ("serviceaccounts", "get"):
            guard let account = state.serviceAccounts[key] else { throw .notFound("serviceaccounts", access.name) }
            return answer(200, account.json)
        case ("serviceaccounts/token", "create"):
            return try createToken(request, for: key, as: user)
        case ("nodes", "get"):
            guard let node = state.nodes[access.name] else { throw .notFound("nodes", access.name) }
            return answer(200, node.json(withTypeMeta: true))
        case ("nodes", "patch"):
            return try patchNode(request, access.name, as: user)
        case ("nodes", "list"):
            let wanted = selector?.required("metadata.name")
            let nodes = state.nodes.sorted { $0.key < $1.key }.filter { wanted == nil || wanted == $0.key }
            return answer(
                200,
                [
                    "kind": "NodeList", "apiVersion": "v1",
                    "metadata": ["resourceVersion": .string(String(state.resourceVersion))],
                    "items": .array(nodes.map { $0.value.json(withTypeMeta: false) }),
                ]
            )
        case ("events", "create"):
            return try createEvent(request, access)
        case ("events", "patch"):
            return try patchEvent(request, access)
        case (_, "create"):
            return try createReview(request, access, as: user)
        default:
            return .text(404, "404 page not found\n")
        }
    }

    // MARK: - Paths

    private func servePath(_ request: LabRequest) -> LabResponse {
        if let response = certificateDiscovery(request.path) { return response }
        switch request.path {
        case "/.well-known/openid-configuration": return discovery()
        case "/openid/v1/jwks": return keys(accept: request.headers.first(name: "Accept"))
        case "/readyz", "/livez", "/healthz": return .text(200, "ok")
        case "/version": return answer(200, ["major": "1", "minor": "36", "gitVersion": "v1.36.2"])
        default: return .text(404, "404 page not found\n")
        }
    }

    private func discovery() -> LabResponse {
        guard options.issuer.hasPrefix("https://") else { return .text(404, "404 page not found\n") }
        let url = storage.withLock { $0.externalURL }
        let document: JSON = [
            "issuer": .string(options.issuer),
            "jwks_uri": .string("\(url)/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        ]
        return .json(200, document, headers: [("Cache-Control", "public, max-age=3600")])
    }

    /// Offers `application/jwk-set+json` only: 406 when the client accepts neither that nor anything.
    private func keys(accept: String?) -> LabResponse {
        let accepted = accept?.split(separator: ",").map { range in
            range.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces)
        }
        let offers = ["*/*", "application/*", "application/jwk-set+json"]
        guard accepted?.contains(where: offers.contains) ?? true else {
            return answer(
                KubernetesStatus(
                    code: 406,
                    reason: "NotAcceptable",
                    message: "only the following media types are accepted: application/jwk-set+json",
                    details: [:]
                )
            )
        }
        guard let set = try? signingKey.webKeySet else { return .text(500, "the key cannot be written\n") }
        return .text(
            200,
            set.text,
            contentType: "application/jwk-set+json",
            headers: [("Cache-Control", "public, max-age=3600")]
        )
    }

    // MARK: - Creations

    private func createToken(
        _ request: LabRequest, for key: LabPod.Key, as user: KubernetesUser
    ) throws(KubernetesStatus) -> LabResponse {
        let tokenRequest = try TokenRequest(parsing: request.body.readableBytesView)
        let tokenID = UUID().uuidString.lowercased()
        let state = storage.withLock { $0.state }
        let grant = try state.decide(tokenRequest, for: key, as: user, tokenID: tokenID, now: clock.now)
        guard let token = try? signingKey.sign(grant.claims) else {
            throw KubernetesStatus(
                code: 500, reason: "InternalError", message: "Internal error occurred: signing failed")
        }
        mints.record(
            TokenMint(
                user: user.name,
                namespace: key.namespace,
                serviceAccount: key.name,
                podUID: grant.claims["kubernetes.io"]?["pod"]?["uid"]?.string,
                audiences: grant.claims["aud"]?.strings ?? [],
                expirationSeconds: grant.request["spec"]?["expirationSeconds"]?.integer ?? 0
            )
        )
        let status: JSON = [
            "token": .string(token), "expirationTimestamp": .string(Timestamp.rfc3339(grant.expirationTimestamp)),
        ]
        let body = JSON.object((grant.request.members ?? []) + [JSON.Member("status", status)])
        return answer(201, body, warnings: grant.warnings)
    }

    private func createEvent(
        _ request: LabRequest, _ access: AccessRequest
    ) throws(KubernetesStatus) -> LabResponse {
        guard let event = try? JSON(parsing: request.body.readableBytesView), event.members != nil else {
            throw .badRequest("the object provided is unrecognized (must be of type Event)")
        }
        guard event["involvedObject"]?["namespace"]?.string == access.namespace else {
            throw .badRequest("involvedObject.namespace: does not match event.namespace")
        }
        events.record(event)
        return answer(201, event)
    }

    /// Records the patch; the Event itself stays as it was created.
    private func patchEvent(
        _ request: LabRequest, _ access: AccessRequest
    ) throws(KubernetesStatus) -> LabResponse {
        guard let event = events.events.first(where: { $0["metadata"]?["name"]?.string == access.name }) else {
            throw .notFound("events", access.name)
        }
        guard request.header("content-type") == "application/merge-patch+json",
            let patch = try? JSON(parsing: request.body.readableBytesView), patch.members != nil
        else { throw .badRequest("the body of the request was in an unknown format") }
        eventPatches.record(patch)
        return answer(200, event)
    }

    // MARK: - Answers

    private static let headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")]

    /// Objects end in a newline, as Go's encoder writes them.
    func answer(_ status: Int, _ body: JSON, warnings: [String] = []) -> LabResponse {
        LabResponse(
            status: status,
            headers: Self.headers + warnings.map { ("Warning", "299 - \"\($0)\"") },
            body: .bytes(ByteBuffer(string: body.text + "\n"))
        )
    }

    private func answer(_ status: KubernetesStatus) -> LabResponse {
        var response = answer(status.code, status.json)
        if let seconds = status.retryAfterSeconds { response.headers.append(("Retry-After", String(seconds))) }
        return response
    }

    private func known(_ selector: PodSelector?) throws(KubernetesStatus) -> PodSelector {
        guard let selector else { throw .badRequest("field label not supported") }
        return selector
    }
}
