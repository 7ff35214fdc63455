import Tokens

/// The pause before the agent looks at its own Node object again.
struct NodeStep: Equatable {
    var pause: Duration
    /// Whether the end of the last look is worth a line in the log.
    var isNews: Bool
}

/// The times at which the agent reads its Node object again, and whether the end of a read is worth a line in the
/// log.
struct NodeReadPlan: Equatable {
    /// Labels of a Node hardly ever change, and nothing urgent hangs on them.
    static let refreshInterval = Duration.seconds(600)
    /// The pauses after failures that may pass, while nothing is known.
    static let backoff = Backoff(shortest: .seconds(1), longest: .seconds(60))

    /// A cloud's controller labels a Node after the kubelet has made it, and this agent starts as early. So many reads
    /// wait for it, about ten minutes; other Nodes never have these labels.
    static let incompleteReadsMax = 15

    private var hasRead = false
    private var failuresInARow = 0
    private var incompleteReads = 0

    /// `isComplete` says whether the Node has told where it is.
    mutating func succeeded(isComplete: Bool = true) -> NodeStep {
        let isNews = !hasRead || failuresInARow > 0 || isComplete && incompleteReads > 0
        (hasRead, failuresInARow) = (true, 0)
        guard !isComplete else {
            incompleteReads = 0
            return NodeStep(pause: Self.refreshInterval, isNews: isNews)
        }
        incompleteReads = min(incompleteReads + 1, Self.incompleteReadsMax + 1)
        let isEarly = incompleteReads <= Self.incompleteReadsMax
        return NodeStep(
            pause: isEarly ? Self.backoff.pause(after: incompleteReads) : Self.refreshInterval, isNews: isNews)
    }

    /// `jitter` in `0...1` keeps the nodes of a cluster apart.
    mutating func failed(_ kind: UpstreamFailure.Kind, jitter: Double) -> NodeStep {
        failuresInARow += 1
        let pause =
            switch kind {
            // A missing right does not come back by itself.
            case .denied, .misconfigured: Self.refreshInterval
            case .notFound, .rateLimited, .unavailable, .staleSubjectToken:
                hasRead ? Self.refreshInterval : Self.backoff.pause(after: failuresInARow)
            }
        return NodeStep(pause: Backoff.spread(pause, jitter: jitter), isNews: failuresInARow == 1)
    }
}
