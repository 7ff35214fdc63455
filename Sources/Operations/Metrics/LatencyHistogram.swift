/// Durations in buckets of fixed bounds: two atomic additions an observation.
package final class LatencyHistogram: Sendable {
    /// The observations up to one moment.
    package struct Snapshot: Sendable, Equatable {
        /// Upper bounds in seconds, ascending, and how many observations lay within each and above the one before.
        package var buckets: [(bound: Double, count: UInt64)]
        /// Observations above the last bound.
        package var above: UInt64
        package var seconds: Double

        package static func == (left: Snapshot, right: Snapshot) -> Bool {
            left.buckets.elementsEqual(right.buckets) { $0 == $1 } && left.above == right.above
                && left.seconds == right.seconds
        }
    }

    /// The bounds of the buckets, from a hash look-up to a client's last patience.
    package static let bounds: [Double] = [
        0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
        1.0,
        2.5, 5.0,
    ]

    private static let nanosecondBounds = bounds.map { UInt64($0 * 1e9 + 0.5) }

    private let counts = bounds.map { _ in MetricCounter() }
    private let above = MetricCounter()
    private let nanoseconds = MetricCounter()

    package init() {}

    package func observe(nanoseconds duration: UInt64) {
        nanoseconds.increment(by: duration)
        var index = 0
        while index < counts.count, duration > Self.nanosecondBounds[index] { index += 1 }
        if index < counts.count { counts[index].increment() } else { above.increment() }
    }

    package func observe(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return observe(nanoseconds: 0) }
        observe(nanoseconds: UInt64(seconds) &* 1_000_000_000 &+ UInt64(attoseconds / 1_000_000_000))
    }

    package var snapshot: Snapshot {
        Snapshot(
            buckets: zip(Self.bounds, counts).map { ($0, $1.current) }, above: above.current,
            seconds: Double(nanoseconds.current) / 1e9
        )
    }
}
