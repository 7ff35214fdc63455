/// Notices, from one look to the next, that the node's clock was set and that the process did not run.
struct TimeCheck: Sendable {
    /// One reading of both clocks.
    struct Reading: Sendable, Equatable {
        /// Seconds since 1970, by the clock that can be set.
        var wall: Double
        /// The time by the clock that cannot be set.
        var steady: ContinuousClock.Instant
    }

    enum Finding: Sendable, Equatable {
        /// The node's clock was set: forward if positive.
        case clockStepped(seconds: Int)
        case stalled(seconds: Int)
    }

    /// The difference that a slewed clock, and the time between two readings, may cause.
    static let stepTolerance = 5.0
    /// How late a look may come on a busy machine.
    static let stallTolerance = Duration.seconds(2)

    private let interval: Duration
    private var last: Reading

    init(interval: Duration, first: Reading) {
        self.interval = interval
        last = first
    }

    /// Compares with the last reading, which should have been an interval ago.
    mutating func findings(at reading: Reading) -> [Finding] {
        defer { last = reading }
        var findings: [Finding] = []
        let elapsed = reading.steady - last.steady
        let step = reading.wall - last.wall - elapsed / .seconds(1)
        if abs(step) > Self.stepTolerance { findings.append(.clockStepped(seconds: Int(step.rounded()))) }
        let stall = elapsed - interval
        if stall > Self.stallTolerance { findings.append(.stalled(seconds: Int(stall / .seconds(1)))) }
        return findings
    }
}
