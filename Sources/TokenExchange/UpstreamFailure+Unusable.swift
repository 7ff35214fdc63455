package import Tokens
package import UpstreamHTTP

extension UpstreamFailure {
    /// An answer with a good status that is not what was asked for. The text never quotes the body: it may hold a
    /// token.
    package static func unusable(
        _ upstream: Upstream, _ answer: UpstreamResponse, _ problem: String
    ) -> UpstreamFailure {
        UpstreamFailure(upstream: upstream, kind: .unavailable, status: answer.status, message: problem)
    }
}
