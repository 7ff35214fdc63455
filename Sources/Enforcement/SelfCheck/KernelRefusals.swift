/// Sums up what the kernel programs had to refuse because something was full or wrong, for the log.
///
/// The programs cannot log, and a pod that is refused in the kernel never reaches the agent. One line for all of them
/// and at most one a minute: an attacker can make these counters rise as fast as he likes.
struct KernelRefusals: Sendable {
    /// Counters that do not rise on a healthy node.
    static let names: Set<String> = [
        "refused_no_note", "refused_namespace", "refused_device", "refused_bind", "refused_waiting",
        "refused_other_tree", "held_expired", "dropped_off_loopback", "untagged", "mismatched",
        "namespace_event_lost", "dropped_translated", "dropped_routed", "dropped_uplink",
    ]
    static let pause = Duration.seconds(60)

    private var reported: [String: UInt64]
    private var nextReport: ContinuousClock.Instant

    /// `counters` is where counting begins: what an earlier agent saw is its own.
    init(since counters: [String: UInt64], at now: ContinuousClock.Instant) {
        reported = counters
        nextReport = now
    }

    /// The rises since the last report, if it is time for one.
    mutating func report(_ counters: [String: UInt64], at now: ContinuousClock.Instant) -> [String: UInt64]? {
        guard now >= nextReport else { return nil }
        var rises: [String: UInt64] = [:]
        for name in Self.names {
            let before = reported[name, default: 0]
            if let value = counters[name], value > before { rises[name] = value - before }
        }
        reported = counters
        guard !rises.isEmpty else { return nil }
        nextReport = now + Self.pause
        return rises
    }
}
