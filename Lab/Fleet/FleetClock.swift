import Tokens
import VirtualTime

/// The timeline as the agents ask for the time.
struct FleetClock: TokenClock {
    let timeline: Timeline

    var now: ContinuousClock.Instant { timeline.now }

    /// Wakes in whole nanoseconds, rounded up: no sleeper wakes before its moment.
    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        let (seconds, attoseconds) = max(deadline - timeline.now, .zero).components
        let rounded = (attoseconds + 999_999_999) / 1_000_000_000
        try await timeline.sleep(for: .nanoseconds(seconds * 1_000_000_000 + rounded))
    }
}
