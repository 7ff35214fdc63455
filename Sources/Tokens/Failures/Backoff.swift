/// An exponential back-off: a first pause that doubles with each failure in a row, up to a last one.
package struct Backoff: Sendable, Hashable {
    package var shortest: Duration
    package var longest: Duration

    package init(shortest: Duration, longest: Duration) {
        self.shortest = shortest
        self.longest = longest
    }

    /// The pause after this failure in a row, counted from 1.
    package func pause(after failures: Int) -> Duration {
        min(Self.doubled(shortest, failures), longest)
    }

    /// The same without a limit but that of ten doublings.
    static func doubled(_ pause: Duration, _ failures: Int) -> Duration {
        pause * Double(1 << min(max(failures, 1) - 1, 10))
    }

    /// Makes a pause up to a quarter longer or shorter, by a `jitter` in `0...1`: nodes of a cluster stay apart.
    package static func spread(_ pause: Duration, jitter: Double) -> Duration {
        pause * (0.75 + 0.5 * jitter)
    }
}
