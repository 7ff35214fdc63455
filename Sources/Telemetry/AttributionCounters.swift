package import Attribution
package import Operations

/// How look-ups of callers ended.
package struct AttributionCounters: Sendable {
    enum Outcome: String, Sendable, Hashable, CaseIterable {
        case caller
        /// The pod list does not show the pod yet.
        case pending
        /// The same, still, at the end of the hold.
        case unknown
        case notInPod, podGone, podFinished, staticPod, podTooLarge, denied, passedThrough
    }

    private let caller = MetricCounter()
    private let others = CounterTable<Outcome>()

    package init() {}

    /// Counts one outcome. Every request does it once, hence without a hash for the usual outcome.
    package func count(_ identification: Identification, isFinal: Bool) {
        switch identification {
        case .caller: caller.increment()
        case .pending: others.increment(isFinal ? .unknown : .pending)
        case .refused(.notInPod): others.increment(.notInPod)
        case .refused(.podGone): others.increment(.podGone)
        case .refused(.podFinished): others.increment(.podFinished)
        case .refused(.staticPod): others.increment(.staticPod)
        case .refused(.podTooLarge): others.increment(.podTooLarge)
        case .refused(.denied): others.increment(.denied)
        case .refused(.passedThrough): others.increment(.passedThrough)
        }
    }

    package var samples: [MetricSample] {
        others.values.map { outcome, count in
            MetricSample(
                [MetricLabel.snakeCase(outcome.rawValue)], .integer(outcome == .caller ? caller.current : count))
        }
    }
}
