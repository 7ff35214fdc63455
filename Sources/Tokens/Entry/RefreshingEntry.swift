/// One cached value and the fetches that keep it: what to do about a request, and about the end of a fetch.
///
/// The entry decides only. Its owner starts the fetches, keeps the waiters and knows the time; every input names
/// the moment it happens in monotonic time.
///
/// A fetch belongs to the entry: no input of a caller ends one, and at most one is under way.
struct RefreshingEntry<Value: Sendable>: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// The answer to a request.
    enum RequestAction: Sendable {
        case serve(Value)
        /// Serve, and start a fetch that no caller waits for.
        case serveAndFetch(Value)
        /// Wait for the fetch that is under way.
        case join
        /// Start a fetch and wait for it.
        case fetch
        /// A failure that is still remembered, and how long it will be.
        case fail(UpstreamFailure, retryAfter: Duration)
    }

    /// The answer to the waiters of a finished fetch.
    enum SettleAction: Sendable {
        case serve(Value)
        case fail(UpstreamFailure, retryAfter: Duration)
    }

    /// The entry's phase, for the debug dump.
    typealias Phase = TokenEntryState

    private struct Refusal: Sendable {
        /// Shared, so that an entry, which every request looks at, stays small.
        private let shared: Shared<UpstreamFailure>
        /// The failure is the answer until here when there is no value.
        let answersUntil: Instant
        /// No refresh starts before, while there is a value.
        var retryAt: Instant

        init(_ failure: UpstreamFailure, until end: Instant) {
            self.shared = Shared(failure)
            self.answersUntil = end
            self.retryAt = end
        }

        var failure: UpstreamFailure { shared.value }
    }

    private struct Held: Sendable {
        var value: Value
        var freshness: Freshness
        /// The latest refresh failed.
        var refusal: Refusal?
        var failuresInARow = 0
        /// A caller waited for this refresh as long as callers can, so no further one waits for it.
        var isOverdue = false

        func isServable(at now: Instant) -> Bool { now < freshness.endsAt }
    }

    private enum State: Sendable {
        case empty
        case fetching
        case fresh(Held)
        case refreshing(Held)
        case failed(Refusal)
    }

    private var state = State.empty

    init() {}

    // MARK: Inputs

    /// A request at `now`. Changes nothing: the owner may have to refuse a fetch, so it says `fetchStarted()` itself.
    func request(at now: Instant) -> RequestAction {
        switch state {
        case .empty: return .fetch
        case .fetching: return .join
        case .failed(let refusal): return answer(refusal, at: now)
        case .fresh(let held):
            guard held.isServable(at: now) else { return held.refusal.map { answer($0, at: now) } ?? .fetch }
            // Refreshing is known to fail: no caller waits for the next attempt, what is left is served.
            if let refusal = held.refusal {
                if now < refusal.retryAt { return .serve(held.value) }
                let awaits = held.freshness.awaitsAfterFailures && now >= held.freshness.awaitAt
                return awaits ? .fetch : .serveAndFetch(held.value)
            }
            if now >= held.freshness.awaitAt { return .fetch }
            return now >= held.freshness.refreshAt ? .serveAndFetch(held.value) : .serve(held.value)
        case .refreshing(let held):
            guard held.isServable(at: now) else { return .join }
            let isTroubled = held.isOverdue || held.refusal != nil && !held.freshness.awaitsAfterFailures
            return now < held.freshness.awaitAt || isTroubled ? .serve(held.value) : .join
        }
    }

    /// The owner started a fetch.
    mutating func fetchStarted() {
        switch state {
        case .empty, .failed: state = .fetching
        case .fresh(var held):
            held.isOverdue = false
            state = .refreshing(held)
        case .fetching, .refreshing: break
        }
    }

    mutating func fetchSucceeded(_ value: Value, freshness: Freshness) -> SettleAction {
        state = .fresh(Held(value: value, freshness: freshness))
        return .serve(value)
    }

    /// `jitter` in `0..<1` spreads the next attempts.
    mutating func fetchFailed(
        _ failure: UpstreamFailure, at now: Instant, policy: FailurePolicy, jitter: Double
    ) -> SettleAction {
        let memory = policy.memory(of: failure, jitter: jitter)
        var refusal = Refusal(failure, until: now + memory)
        let isTakenAway = failure.kind.isFinal && policy.finalFailureDiscardsValue
        guard case .refreshing(var held) = state, held.isServable(at: now), !isTakenAway else {
            state = .failed(refusal)
            return .fail(failure, retryAfter: memory)
        }
        held.failuresInARow += 1
        refusal.retryAt = now + policy.refreshPause(after: failure, count: held.failuresInARow, jitter: jitter)
        held.refusal = refusal
        state = .fresh(held)
        return .serve(held.value)
    }

    /// A waiter's time is up while the fetch goes on. Returns what is left to serve it with, and lets later
    /// requests have the same without waiting.
    mutating func waitLimitReached(at now: Instant) -> Value? {
        guard case .refreshing(var held) = state, held.isServable(at: now) else { return nil }
        held.isOverdue = true
        state = .refreshing(held)
        return held.value
    }

    /// The value turned out to be worthless, whatever its end says. A fetch under way goes on.
    mutating func invalidate() {
        switch state {
        case .fresh: state = .empty
        case .refreshing: state = .fetching
        case .empty, .fetching, .failed: break
        }
    }

    // MARK: Views

    /// The held value, if it may still be served.
    func remaining(at now: Instant) -> Value? {
        switch state {
        case .fresh(let held), .refreshing(let held): held.isServable(at: now) ? held.value : nil
        case .empty, .fetching, .failed: nil
        }
    }

    /// The time until which every request gets the held value, and none starts a fetch; `nil` where the next one might
    /// not.
    func steadyEnd(at now: Instant) -> Instant? {
        switch state {
        case .fresh(let held) where held.refusal == nil && now < held.freshness.refreshAt: held.freshness.refreshAt
        case .refreshing(let held) where held.refusal == nil && now < held.freshness.awaitAt: held.freshness.awaitAt
        case .fresh, .refreshing, .empty, .fetching, .failed: nil
        }
    }

    /// The time at which the held value ends.
    var endsAt: Instant? {
        switch state {
        case .fresh(let held), .refreshing(let held): held.freshness.endsAt
        case .empty, .fetching, .failed: nil
        }
    }

    /// The held value, whatever its age.
    var latestValue: Value? {
        switch state {
        case .fresh(let held), .refreshing(let held): held.value
        case .empty, .fetching, .failed: nil
        }
    }

    /// The failure of the latest fetch.
    var latestFailure: UpstreamFailure? {
        switch state {
        case .fresh(let held), .refreshing(let held): held.refusal?.failure
        case .failed(let refusal): refusal.failure
        case .empty, .fetching: nil
        }
    }

    var phase: Phase {
        switch state {
        case .empty: .empty
        case .fetching: .fetching
        case .fresh: .fresh
        case .refreshing: .refreshing
        case .failed: .failed
        }
    }

    /// Whether the entry holds nothing that a request at `now` or later could get.
    func isSpent(at now: Instant) -> Bool {
        switch state {
        case .empty: true
        case .failed(let refusal): now >= refusal.answersUntil
        case .fresh(let held): !held.isServable(at: now) && now >= (held.refusal?.answersUntil ?? now)
        case .fetching, .refreshing: false
        }
    }

    private func answer(_ refusal: Refusal, at now: Instant) -> RequestAction {
        now < refusal.answersUntil ? .fail(refusal.failure, retryAfter: refusal.answersUntil - now) : .fetch
    }
}

extension RefreshingEntry.RequestAction: Equatable where Value: Equatable {}
extension RefreshingEntry.SettleAction: Equatable where Value: Equatable {}
