/// A token bucket: `burst` at once, then `rate` per second.
package struct RateBucket: Sendable, Equatable {
    let rate: Double
    let burst: Double
    private var level: Double
    private var filledAt: ContinuousClock.Instant

    /// A full bucket. Both numbers are positive; `burst` is at least 1.
    package init(rate: Double, burst: Double, now: ContinuousClock.Instant) {
        self.rate = rate
        self.burst = max(burst, 1)
        self.level = max(burst, 1)
        self.filledAt = now
    }

    /// Takes one, or returns how long until there is one.
    package mutating func take(at now: ContinuousClock.Instant) -> Duration? {
        level = levelWhenFilled(at: now)
        filledAt = max(filledAt, now)
        guard level >= 1 else { return .seconds((1 - level) / rate) }
        level -= 1
        return nil
    }

    /// Whether the bucket has forgotten everything that was taken.
    package func isFull(at now: ContinuousClock.Instant) -> Bool {
        levelWhenFilled(at: now) >= burst
    }

    private func levelWhenFilled(at now: ContinuousClock.Instant) -> Double {
        min(burst, level + max(0, (now - filledAt) / .seconds(1)) * rate)
    }
}
