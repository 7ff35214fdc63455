/// How long a failure is remembered: errors are cached for seconds, so that a permission granted just now works.
package struct FailurePolicy: Sendable, Hashable {
    /// A refusal that stands until an operator changes something. Long enough that a client in a loop costs little.
    package var finalFailure: Duration
    /// A failure that may be over the next moment. Jitter makes this 1 to 2 times as long.
    package var transientFailure: Duration
    /// `rateLimited` without a `Retry-After`.
    package var rateLimited: Duration
    /// No `Retry-After` of an upstream is followed for longer than this.
    package var longestRetryAfter: Duration
    /// The pause before refreshing again while the old value still serves; it doubles with each failure in a row.
    package var firstRefreshPause: Duration
    package var longestRefreshPause: Duration
    /// Whether a final refusal also takes the value away that is held. Right for what an upstream says of the
    /// present (a ServiceAccount); wrong for a credential that stays valid until its end.
    package var finalFailureDiscardsValue: Bool

    package init(
        finalFailure: Duration,
        transientFailure: Duration,
        rateLimited: Duration,
        longestRetryAfter: Duration,
        firstRefreshPause: Duration,
        longestRefreshPause: Duration,
        finalFailureDiscardsValue: Bool
    ) {
        self.finalFailure = finalFailure
        self.transientFailure = transientFailure
        self.rateLimited = rateLimited
        self.longestRetryAfter = longestRetryAfter
        self.firstRefreshPause = firstRefreshPause
        self.longestRefreshPause = longestRefreshPause
        self.finalFailureDiscardsValue = finalFailureDiscardsValue
    }

    /// How long `failure` is the answer when there is nothing to serve.
    func memory(of failure: UpstreamFailure, jitter: Double) -> Duration {
        switch failure.kind {
        case .denied, .notFound, .misconfigured, .staleSubjectToken: finalFailure * (0.8 + 0.4 * jitter)
        case .unavailable: max(transientFailure * (1 + jitter), followed(failure.retryAfter))
        case .rateLimited: failure.retryAfter == nil ? rateLimited * (0.8 + 0.4 * jitter) : followed(failure.retryAfter)
        }
    }

    /// How long the old value serves alone after the `count`-th failure in a row, 1 or more.
    func refreshPause(after failure: UpstreamFailure, count: Int, jitter: Double) -> Duration {
        let backoff = Backoff(shortest: firstRefreshPause, longest: longestRefreshPause)
        let pause = backoff.pause(after: count) * (0.5 + 0.5 * jitter)
        return max(pause, followed(failure.retryAfter))
    }

    private func followed(_ retryAfter: Duration?) -> Duration {
        min(max(retryAfter ?? .zero, .zero), longestRetryAfter)
    }
}

extension UpstreamFailure.Kind {
    /// Whether the upstream said no, rather than nothing.
    var isFinal: Bool {
        switch self {
        case .denied, .notFound, .misconfigured: true
        case .rateLimited, .unavailable, .staleSubjectToken: false
        }
    }
}
