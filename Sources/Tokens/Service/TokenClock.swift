/// Monotonic time, and waiting for it. Tests drive one by hand.
package protocol TokenClock: Sendable {
    var now: ContinuousClock.Instant { get }

    /// Returns at `deadline` or later; throws when the task is cancelled.
    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError)
}

/// The system's clock. It counts through suspension, as a token's life does.
package struct SystemTokenClock: TokenClock {
    package init() {}

    package var now: ContinuousClock.Instant { ContinuousClock.now }

    package func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        do {
            try await ContinuousClock().sleep(until: deadline)
        } catch {
            throw CancellationError()
        }
    }
}

/// A number in `0..<1`. Every decision that has jitter takes one from outside, so that tests can fix it.
package typealias JitterSource = @Sendable () -> Double
