/// The repetitions of one upstream step: transient failures only, a bounded number of times, within the fetch's budget.
struct RetrySchedule: Sendable {
    private let startedAt: ContinuousClock.Instant
    private let configuration: TokenServiceConfiguration
    private let isSpaced: Bool
    private var failures = 0

    /// `startedAt` is the beginning of the whole fetch: its steps share the budget, each has its own attempts. `isSpaced` says
    /// whether the upstream's pace decides when a refused call is made again.
    init(startedAt: ContinuousClock.Instant, configuration: TokenServiceConfiguration, isSpaced: Bool = false) {
        self.startedAt = startedAt
        self.configuration = configuration
        self.isSpaced = isSpaced
    }

    /// How long to pause before repeating after `failure`; `nil` when that would be wrong or too late.
    mutating func pause(
        after failure: UpstreamFailure, now: ContinuousClock.Instant, jitter: Double
    ) -> Duration? {
        failures += 1
        guard failures < configuration.attemptsPerStep else { return nil }
        switch failure.kind {
        case .unavailable: break
        // A first refusal may be momentary, and many clients do not ask again. A quota that is known to be used up is not given
        // back within a fetch, unless the upstream names a moment.
        case .rateLimited:
            guard failure.retryAfter != nil || !isSpaced else { return nil }
        case .denied, .notFound, .misconfigured, .staleSubjectToken: return nil
        }
        let backoff = Backoff.doubled(configuration.retryPause, failures) * (0.5 + 0.5 * jitter)
        let pause = max(backoff, failure.retryAfter ?? .zero)
        return now + pause <= startedAt + configuration.retryBudget ? pause : nil
    }
}
