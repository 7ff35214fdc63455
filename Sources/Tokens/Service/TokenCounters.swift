/// The token service's counts since it started. Numbers only grow.
package struct TokenCounters: Sendable, Hashable {
    /// How a fetch ended.
    package enum FetchOutcome: Sendable, Hashable, CaseIterable {
        case succeeded
        case failed(UpstreamFailure.Kind)
        /// No caller was left to have the result: the pod went away or the deadline had passed.
        case discarded

        package static let allCases: [FetchOutcome] =
            [FetchOutcome.succeeded] + UpstreamFailure.Kind.allCases.map(FetchOutcome.failed) + [FetchOutcome.discarded]

        /// The name for metrics and the debug page.
        package var rawValue: String {
            switch self {
            case .succeeded: "succeeded"
            case .failed(let kind): kind.rawValue
            case .discarded: "discarded"
            }
        }
    }

    /// Token requests answered from the cache.
    package var hits: UInt64 = 0
    /// Token requests that started a fetch and waited for it.
    package var misses: UInt64 = 0
    /// Token requests that waited for a fetch that was under way.
    package var joins: UInt64 = 0
    /// Token requests answered with a remembered failure.
    package var rememberedFailures: UInt64 = 0
    /// Refreshes that no caller waited for.
    package var backgroundRefreshes: UInt64 = 0
    /// Token fetches by their end.
    package var tokenFetches: [FetchOutcome: UInt64] = [:]
    /// ServiceAccount reads by their end.
    package var serviceAccountReads: [FetchOutcome: UInt64] = [:]
    /// Requests refused by a limit of the pod.
    package var limited: UInt64 = 0
    /// Requests that waited as long as they may.
    package var timedOut: UInt64 = 0
    /// Tokens that made room for others of their pod.
    package var evicted: UInt64 = 0
    /// Upstream calls that failed and were repeated within their fetch.
    package var retries: [UpstreamFailure.Upstream: UInt64] = [:]

    package init() {}
}
