/// When one upstream step is repeated: transient failures only, a bounded number of times, within the fetch's budget.
struct RetrySchedule: Sendable {
    private let startedAt: ContinuousClock.Instant
    private let configuration: TokenServiceConfiguration
    private var failures = 0

    /// `startedAt` is the beginning of the whole fetch: its steps share the budget, each has its own attempts.
    init(startedAt: ContinuousClock.Instant, configuration: TokenServiceConfiguration) {
        self.startedAt = startedAt
        self.configuration = configuration
    }

    /// How long to pause before repeating after `failure`; `nil` when that would be wrong or too late.
    mutating func pause(
        after failure: UpstreamFailure, now: ContinuousClock.Instant, jitter: Double
    ) -> Duration? {
        failures += 1
        guard failures < configuration.attemptsPerStep else { return nil }
        switch failure.kind {
        case .unavailable: break
        // A quota that is used up is not given back within a fetch. Where the upstream names a moment, it is.
        case .rateLimited:
            let isPaced = configuration.pacing != nil && failure.upstream != .kubernetes
            guard failure.retryAfter != nil || !isPaced else { return nil }
        case .denied, .notFound, .misconfigured, .staleSubjectToken: return nil
        }
        let backoff = Backoff.doubled(configuration.retryPause, failures) * (0.5 + 0.5 * jitter)
        let pause = max(backoff, failure.retryAfter ?? .zero)
        return now + pause <= startedAt + configuration.retryBudget ? pause : nil
    }
}
