import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

/// The API server's verdict on a presented token.
package struct TokenReviewResponse: Sendable, Hashable {
    package var isAuthenticated: Bool
    package var username: String?
    package var uid: String?
    package var extra: [String: [String]]
    /// The audiences, among those asked for, that the token is for.
    package var audiences: [String]

    package init(
        isAuthenticated: Bool, username: String? = nil, uid: String? = nil, extra: [String: [String]] = [:],
        audiences: [String] = []
    ) {
        self.isAuthenticated = isAuthenticated
        self.username = username
        self.uid = uid
        self.extra = extra
        self.audiences = audiences
    }
}

extension KubernetesClient {
    /// Asks by TokenReview whose token it is, for one audience. The caller needs the right to create TokenReviews.
    package func reviewToken(
        _ token: SecretToken, audience: String
    ) async throws(UpstreamFailure) -> TokenReviewResponse {
        let review = Review(spec: Review.Spec(token: token.exposed, audiences: [audience]))
        let body = SortedJSON.bytes(of: review)
        let answer = try await send(.POST, "/apis/authentication.k8s.io/v1/tokenreviews", body: body)
        guard let status = ProjectedJSON.decode(Verdict.self, from: answer.body)?.status else {
            throw .unusable(answer, "the answer to a TokenReview is not one")
        }
        return TokenReviewResponse(
            isAuthenticated: status.authenticated ?? false, username: status.user?.username, uid: status.user?.uid,
            extra: status.user?.extra ?? [:], audiences: status.audiences ?? [])
    }
}

private struct Review: Encodable {
    var apiVersion = "authentication.k8s.io/v1"
    var kind = "TokenReview"
    var spec: Spec

    struct Spec: Encodable {
        var token: String
        var audiences: [String]
    }
}

private struct Verdict: Decodable {
    var status: Status

    struct Status: Decodable {
        var authenticated: Bool?
        var user: User?
        var audiences: [String]?
    }

    struct User: Decodable {
        var username: String?
        var uid: String?
        var extra: [String: [String]]?
    }
}
