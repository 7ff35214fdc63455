import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

/// One right that a user may have, as RBAC names it.
package struct AccessReviewRequest: Sendable, Hashable {
    package var verb: String
    /// The API group. Empty: the core API group.
    package var group: String
    package var resource: String
    /// The namespace. Empty: every namespace.
    package var namespace: String

    package init(verb: String, resource: String, group: String = "", namespace: String = "") {
        self.verb = verb
        self.group = group
        self.resource = resource
        self.namespace = namespace
    }
}

extension KubernetesClient {
    /// The verb that lets a node ask for tokens of an audience, which is the resource (Kubernetes 1.33).
    package static let audienceVerb = "request-serviceaccounts-token-audience"

    /// Asks by SelfSubjectAccessReview what this node may do, which needs no right; of a ServiceAccount by
    /// SubjectAccessReview, which nodes may.
    package func isAllowed(
        _ question: AccessReviewRequest, to account: ServiceAccountReference? = nil
    ) async throws(UpstreamFailure) -> Bool {
        let attributes = Review.Attributes(
            verb: question.verb, group: question.group, resource: question.resource,
            namespace: question.namespace.isEmpty ? nil : question.namespace)
        let user = account.map { "system:serviceaccount:\($0.namespace):\($0.name)" }
        let groups = account.map { account in
            ["system:serviceaccounts", "system:serviceaccounts:\(account.namespace)", "system:authenticated"]
        }
        let kind = user == nil ? "SelfSubjectAccessReview" : "SubjectAccessReview"
        let review = Review(
            apiVersion: "authorization.k8s.io/v1", kind: kind,
            spec: Review.Spec(resourceAttributes: attributes, user: user, groups: groups))
        let body = SortedJSON.bytes(of: review)
        let answer = try await send(.POST, "/apis/authorization.k8s.io/v1/\(kind.lowercased())s", body: body)
        guard let verdict = ProjectedJSON.decode(Verdict.self, from: answer.body) else {
            throw .unusable(answer, "the answer to a \(kind) is not one")
        }
        return verdict.status.allowed
    }
}

private struct Review: Encodable {
    var apiVersion: String
    var kind: String
    var spec: Spec

    struct Spec: Encodable {
        var resourceAttributes: Attributes
        var user: String?
        var groups: [String]?
    }

    struct Attributes: Encodable {
        var verb: String
        var group: String
        var resource: String
        var namespace: String?
    }
}

private struct Verdict: Decodable {
    var status: Status

    struct Status: Decodable {
        var allowed: Bool
    }
}
