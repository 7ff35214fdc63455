import Foundation
import NIOCore
import Synchronization

/// TokenReview, SelfSubjectReview and SubjectAccessReview: questions that are asked by creating an object.
extension KubernetesEmulator {
    func createReview(
        _ request: LabRequest, _ access: AccessRequest, as user: KubernetesUser
    ) throws(KubernetesStatus) -> LabResponse {
        guard let body = try? JSON(parsing: request.body.readableBytesView) else {
            throw .badRequest("the object provided is unrecognized")
        }
        let spec = body["spec"] ?? [:]
        switch (access.group, access.resource) {
        case ("authentication.k8s.io", "tokenreviews"):
            return review("TokenReview", access, spec: spec, status: tokenReview(spec))
        case ("authentication.k8s.io", "selfsubjectreviews"):
            return review("SelfSubjectReview", access, spec: nil, status: ["userInfo": user.json])
        case ("authorization.k8s.io", "selfsubjectaccessreviews"):
            return review("SelfSubjectAccessReview", access, spec: spec, status: accessReview(spec, user))
        case ("authorization.k8s.io", "subjectaccessreviews"):
            let subject = KubernetesUser(
                name: spec["user"]?.string ?? "",
                groups: spec["groups"]?.strings ?? []
            )
            return review("SubjectAccessReview", access, spec: spec, status: accessReview(spec, subject))
        default:
            return .text(404, "404 page not found\n")
        }
    }

    private func review(_ kind: String, _ access: AccessRequest, spec: JSON?, status: JSON) -> LabResponse {
        answer(
            201,
            [
                "kind": .string(kind), "apiVersion": .string("\(access.group)/\(access.version)"), "metadata": [:],
                "spec": spec, "status": status,
            ]
        )
    }

    private func tokenReview(_ spec: JSON) -> JSON {
        let audiences = spec["audiences"]?.strings ?? []
        do throws(TokenRejection) {
            let result = try authenticate(
                spec["token"]?.string ?? "",
                audiences: audiences.isEmpty ? options.apiAudiences : audiences
            )
            return ["authenticated": true, "user": result.user.json, "audiences": .strings(result.audiences)]
        } catch {
            return ["user": [:], "error": .string(error.message)]
        }
    }

    /// Answers about the audience verb by its rules, and about everything else by the authorizer's.
    private func accessReview(_ spec: JSON, _ user: KubernetesUser) -> JSON {
        guard let attributes = spec["resourceAttributes"] else { return ["allowed": false] }
        func attribute(_ name: String) -> String { attributes[name]?.string ?? "" }
        let key = LabPod.Key(attribute("namespace"), attribute("name"))
        let state = storage.withLock { $0.state }
        if attribute("verb") == "request-serviceaccounts-token-audience" {
            let isAllowed =
                attribute("group").isEmpty
                && state.allows(user, audience: attribute("resource"), serviceAccount: key)
            return ["allowed": .bool(isAllowed)]
        }
        if attribute("verb") == "request-serviceaccounts-podcertificate-signer" {
            let signer = attribute("resource").replacingOccurrences(of: ":", with: "/")
            return ["allowed": .bool(state.allows(user, signer: signer, serviceAccount: key))]
        }
        var access = AccessRequest(method: "", path: "")
        access.isResource = true
        access.verb = attribute("verb")
        access.group = attribute("group")
        access.resource = attribute("resource")
        access.subresource = attributes["subresource"]?.string
        access.name = key.name
        access.namespace = key.namespace.isEmpty ? nil : key.namespace
        do throws(KubernetesStatus) {
            try state.authorize(user, access, selector: nil, now: clock.now)
            return ["allowed": true]
        } catch {
            return ["allowed": false]
        }
    }
}
