import Tokens

/// Decides what the pod watcher does next: list or watch, and after which pause. A value: the watcher carries it out.
struct PodWatchPlan: Sendable {
    enum Step: Sendable, Hashable {
        case list
        case watch(from: String)
    }

    /// The result of one watch.
    struct Report: Sendable, Hashable {
        var end: WatchEnd
        /// The last one seen, in an event or a bookmark.
        var resourceVersion: String
        /// Whether it brought anything.
        var madeProgress: Bool
        var lasted: Duration
    }

    private(set) var step = Step.list
    /// Failures in a row, since something last worked.
    private var failures = 0

    private let backoff: Backoff

    /// A watch that lives this long was a good one, even if nothing happened.
    private static let goodWatch = Duration.seconds(5)
    /// Failed watches in a row after which the resource version itself is under suspicion: some servers answer a
    /// version they do not like with 500.
    private static let suspiciousFailures = 3

    init(shortestPause: Duration = .milliseconds(100), longestPause: Duration = .seconds(5)) {
        backoff = Backoff(shortest: shortestPause, longest: longestPause)
    }

    /// A list was applied: watch from where it ends. It does not forgive failed watches: a list that always works and
    /// a watch that never does must not chase each other.
    mutating func listed(at resourceVersion: String) {
        step = .watch(from: resourceVersion)
    }

    /// A list failed: the pause before the next. `random` is 0 to 1, from the caller's generator.
    mutating func listFailed(retryAfter: Duration?, random: Double) -> Duration {
        step = .list
        failures += 1
        return pause(retryAfter: retryAfter, random: random)
    }

    /// A caller asked for a pod that the watch has not shown: list at once.
    mutating func missed() {
        step = .list
    }

    /// A watch ended: the pause before the next step.
    mutating func watchEnded(_ report: Report, random: Double) -> Duration {
        if report.madeProgress || report.lasted >= Self.goodWatch { failures = 0 }
        step = .watch(from: report.resourceVersion)
        switch report.end {
        case .ended where failures == 0 && (report.madeProgress || report.lasted >= Self.goodWatch):
            // The ordinary end, at a random time already: no pause.
            return .zero
        case .silent:
            // The connection is dead, or the version lies in the server's future: only a list can tell.
            step = .list
            return .zero
        case .ended, .disconnected:
            failures += 1
            if failures >= Self.suspiciousFailures { step = .list }
            return pause(retryAfter: nil, random: random)
        case .expired, .broken:
            failures += 1
            step = .list
            return pause(retryAfter: nil, random: random)
        case .refused(let failure):
            failures += 1
            let isTransient = failure.kind == .rateLimited || failure.kind == .unavailable
            if !isTransient || failures >= Self.suspiciousFailures { step = .list }
            return pause(retryAfter: failure.retryAfter, random: random)
        }
    }

    /// The pause: half to all of the doubling one, or what the server asks if that is longer (at most 30 s: pods wait).
    private func pause(retryAfter: Duration?, random: Double) -> Duration {
        let jittered = backoff.pause(after: failures) * (0.5 + random / 2)
        return max(jittered, min(retryAfter ?? .zero, .seconds(30)))
    }
}
