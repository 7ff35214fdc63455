import FoundationEssentials
import Tokens
import UpstreamHTTP

extension UpstreamFailure {
    /// Sorts an answer of a Google API that is no success, by its status and by `google.rpc.ErrorInfo`.
    init(google answer: UpstreamResponse, upstream: Upstream) {
        let error = (try? JSONDecoder().decode(GoogleError.self, from: Data(answer.body)))?.error
        let reason = error?.details?.lazy.compactMap(\.reason).first
        let text = error?.message.map { UpstreamText.clean($0) } ?? answer.bodyText
        let kind: Kind
        switch answer.status {
        // The federated token is not accepted any more: begin again with a new subject token.
        case 401: kind = .staleSubjectToken
        case 403:
            switch reason {
            case "SERVICE_DISABLED", "API_DISABLED": kind = .misconfigured
            case "RATE_LIMIT_EXCEEDED": kind = .rateLimited
            default: kind = .denied
            }
        // A path of the STS that does not exist is the configured URL's fault; in IAM it is the account.
        case 404: kind = upstream == .iamCredentials ? .notFound : .misconfigured
        case 408: kind = .unavailable
        case 429: kind = .rateLimited
        case 400..<500: kind = .misconfigured
        default: kind = .unavailable
        }
        self.init(
            upstream: upstream,
            kind: kind,
            status: answer.status,
            message: text.isEmpty ? "HTTP \(answer.status)" : text,
            retryAfter: answer.retryAfter()
        )
    }

    private struct GoogleError: Decodable {
        var error: Body

        struct Body: Decodable {
            var message: String?
            var details: [Detail]?
        }

        struct Detail: Decodable {
            var reason: String?
        }
    }
}
