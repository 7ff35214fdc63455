import Synchronization

/// The measurements of a soak since they were last taken.
final class SoakLedger: Sendable {
    struct Content: Sendable {
        /// The latencies in microseconds, of cached tokens only.
        var newConnections: [Int64] = []
        var keptConnections: [Int64] = []
        var samples: [ProcessSample] = []
    }

    private let content = Mutex(Content())

    func record(_ outcome: ClientRequest.Outcome, kept: Bool) {
        guard case .answered(200, _) = outcome.result else { return }
        content.withLock {
            if kept {
                $0.keptConnections.append(outcome.microseconds)
            } else {
                $0.newConnections.append(outcome.microseconds)
            }
        }
    }

    func record(_ sample: ProcessSample) {
        content.withLock { $0.samples.append(sample) }
    }

    func take() -> Content {
        content.withLock { content in
            defer { content = Content() }
            return content
        }
    }
}
