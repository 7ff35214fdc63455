package import KubernetesAPI
import Tokens

/// Asks the API server by TokenReview, with the signer's own ServiceAccount.
package struct TokenReviewer: TokenReviewing {
    let client: KubernetesClient

    package init(client: KubernetesClient) {
        self.client = client
    }

    package func review(_ token: String, audience: String) async -> TokenVerdict {
        do throws(UpstreamFailure) {
            let review = try await client.reviewToken(SecretToken(token), audience: audience)
            guard review.isAuthenticated, review.audiences.contains(audience) else {
                return .refused("the API server does not accept the token for audience \(audience)")
            }
            return Self.pod(of: review)
        } catch {
            return .unavailable(error.message)
        }
    }

    static func pod(of review: TokenReviewResponse) -> TokenVerdict {
        let prefix = "system:serviceaccount:"
        guard let username = review.username, username.hasPrefix(prefix), let accountUID = review.uid,
            !accountUID.isEmpty
        else { return .refused("the token is not a ServiceAccount's") }
        let parts = username.dropFirst(prefix.count).split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            return .refused("the token is not a ServiceAccount's")
        }
        func extra(_ name: String) -> String? { review.extra["authentication.kubernetes.io/" + name]?.first }
        guard let name = extra("pod-name"), let uid = extra("pod-uid"), !name.isEmpty, !uid.isEmpty else {
            return .refused("the token is bound to no pod")
        }
        return .pod(
            ReviewedPod(
                namespace: String(parts[0]), serviceAccount: String(parts[1]), serviceAccountUID: accountUID,
                name: name, uid: uid, node: extra("node-name"), nodeUID: extra("node-uid"),
                credentialID: extra("credential-id")))
    }
}
