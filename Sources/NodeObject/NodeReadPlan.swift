import Tokens

/// When the agent reads its own Node object again, and whether the end of a read is worth a line in the log.
struct NodeReadPlan: Equatable {
    struct Step: Equatable {
        var pause: Duration
        var isNews: Bool
    }

    /// Labels of a Node hardly ever change, and nothing urgent hangs on them.
    static let refreshInterval = Duration.seconds(600)
    /// After a failure that may pass, while nothing is known: 1 s, then twice as long each time.
    static let shortestPause = Duration.seconds(1)
    static let longestPause = Duration.seconds(60)

    private var hasRead = false
    private var failuresInARow = 0

    mutating func succeeded() -> Step {
        defer { (hasRead, failuresInARow) = (true, 0) }
        return Step(pause: Self.refreshInterval, isNews: !hasRead || failuresInARow > 0)
    }

    /// `jitter` in `0...1` keeps the nodes of a cluster apart.
    mutating func failed(_ kind: UpstreamFailure.Kind, jitter: Double) -> Step {
        failuresInARow += 1
        let pause =
            switch kind {
            // A missing right does not come back by itself.
            case .denied, .misconfigured: Self.refreshInterval
            case .notFound, .rateLimited, .unavailable, .staleSubjectToken:
                hasRead
                    ? Self.refreshInterval
                    : min(Self.shortestPause * Double(1 << min(failuresInARow - 1, 10)), Self.longestPause)
            }
        return Step(pause: pause * (0.75 + 0.5 * jitter), isNews: failuresInARow == 1)
    }
}
