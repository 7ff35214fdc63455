package import Attribution
import FoundationEssentials
import NIOHTTP1
package import Tokens
package import UpstreamHTTP

/// The questions of a posture report to the API server. Nothing is changed there.
extension KubernetesClient {
    /// The user that the API server takes the caller for.
    package struct Identity: Sendable, Equatable {
        package var username: String
        package var groups: [String]
        /// The time that the API server's answer was dated with, to the second; `nil`: it was not.
        package var serverTime: UnixInstant?

        /// The name of the node that the Node authorizer sees; `nil` for everybody else.
        package var nodeName: String? {
            let prefix = "system:node:"
            guard groups.contains("system:nodes"), username.hasPrefix(prefix) else { return nil }
            return String(username.dropFirst(prefix.count))
        }
    }

    /// Asks by SelfSubjectReview (`authentication.k8s.io/v1`, Kubernetes 1.28), which needs no right.
    package func identity() async throws(UpstreamFailure) -> Identity {
        let body = #"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#
        let answer = try await send(
            .POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", body: Array(body.utf8))
        guard let review = try? JSONDecoder().decode(Review.self, from: Data(answer.body)),
            !review.status.userInfo.username.isEmpty
        else { throw .unusable(answer, "the answer to a SelfSubjectReview is not one") }
        return Identity(
            username: review.status.userInfo.username, groups: review.status.userInfo.groups ?? [],
            serverTime: answer.date)
    }

    /// The pods of `nodeName`, now, as if no rule gave one a policy.
    package func pods(ofNode nodeName: String) async throws(UpstreamFailure) -> [PodRecord] {
        try await listPods(nodeName: nodeName).pods.map(\.record)
    }

    /// Whether a token for `pod` and one configured audience is granted: a TokenRequest with `dryRun=All`. API servers
    /// mint even so; the token is checked, and dropped here.
    package func tryTokenRequest(for pod: PodRecord, audience: String) async throws(UpstreamFailure) {
        guard
            audience == options.audience
                || options.podTokenAudiences.union(options.cloudAudiences).contains(audience),
            let namespace = PercentEncoding.segment(pod.namespace),
            let account = PercentEncoding.segment(pod.serviceAccountName)
        else {
            throw UpstreamFailure(
                upstream: .kubernetes, kind: .misconfigured, message: "no such audience or ServiceAccount")
        }
        let request = TokenRequest(pod: pod, serviceAccountUID: "", audience: audience, expirationSeconds: 600)
        let answer = try await send(
            .POST, "/api/v1/namespaces/\(namespace)/serviceaccounts/\(account)/token?dryRun=All", body: request.body)
        _ = try request.token(from: answer)
    }

    private struct Review: Decodable {
        var status: Status

        struct Status: Decodable {
            var userInfo: User
        }

        struct User: Decodable {
            var username: String
            var groups: [String]?
        }
    }
}

extension UpstreamFailure {
    /// Whether what is missing is the right to ask for the audience (Kubernetes 1.33), which one RBAC rule gives.
    package var isAudienceForbidden: Bool {
        upstream == .kubernetes && status == 403
            && message.contains("is not authorized to request tokens for this audience")
    }
}
