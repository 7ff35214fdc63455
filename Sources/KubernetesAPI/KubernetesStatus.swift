import FoundationEssentials
import Tokens
import UpstreamHTTP

/// `v1/Status`: what the API server says when it says no.
struct KubernetesStatus: Decodable {
    var message: String?
    var reason: String?
    var code: Int?
}

extension UpstreamFailure {
    /// Sorts an answer of the API server that is no success. Statuses and texts: measured on Kubernetes 1.36.
    init(kubernetes answer: UpstreamResponse) {
        let status = try? JSONDecoder().decode(KubernetesStatus.self, from: Data(answer.body))
        let text = status?.message.map { UpstreamText.clean($0) } ?? answer.bodyText
        var message = text.isEmpty ? "HTTP \(answer.status)" : text
        let kind: Kind
        switch answer.status {
        case 401:
            // The request was not judged: the node was not recognised. A renewed certificate is the remedy.
            kind = .unavailable
            message = "node credentials refused: \(message)"
        case 403: kind = .denied
        case 404: kind = .notFound
        // The ServiceAccount that was named by UID is gone, and another has its name.
        case 409: kind = .notFound
        // The pod runs with another ServiceAccount.
        case 400: kind = .denied
        // An admission policy's no, or a value that the server does not take.
        case 422: kind = message.contains("denied request") ? .denied : .misconfigured
        case 429: kind = .rateLimited
        case 402..<500: kind = .misconfigured
        default: kind = .unavailable
        }
        self.init(
            upstream: .kubernetes,
            kind: kind,
            status: answer.status,
            message: UpstreamText.clean(message),
            retryAfter: answer.retryAfter()
        )
    }

    /// A failure for want of anything to authenticate with.
    init(noCredentials problem: KubernetesAPIError) {
        self.init(
            upstream: .kubernetes, kind: .unavailable,
            message: UpstreamText.clean("the node has no credentials: \(problem)"))
    }

    /// An answer with a good status that is not what was asked for.
    static func unusable(_ answer: UpstreamResponse, _ problem: String) -> UpstreamFailure {
        UpstreamFailure(upstream: .kubernetes, kind: .unavailable, status: answer.status, message: problem)
    }

    /// The Node authorizer has not learnt yet which objects belong to this node.
    var isMissingRelationship: Bool {
        status == 403 && message.contains("no relationship found between node")
    }
}
