/// The pauses between attempts to bind a port that another process holds: 250 ms, doubled each time, at most 30 s.
struct PortRetry: Sendable, Equatable {
    static let shortest = Duration.milliseconds(250)
    static let longest = Duration.seconds(30)

    private var failures = 0

    /// The pause after one more failed attempt.
    mutating func failed() -> Duration {
        defer { failures += 1 }
        return min(Self.shortest * Double(1 << min(failures, 10)), Self.longest)
    }
}
