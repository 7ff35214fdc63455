import Synchronization

/// Joins a wait with the cancellation of its caller, which may come before the wait has begun.
final class PendingWait: Sendable {
    private enum State {
        case unknown
        case waiting(TokenWait)
        case cancelled
    }

    private let state = Mutex(State.unknown)

    /// Returns whether the caller has been cancelled already.
    func store(_ wait: TokenWait) -> Bool {
        state.withLock { state in
            if case .cancelled = state { return true }
            state = .waiting(wait)
            return false
        }
    }

    /// Returns the wait to abandon, if it has begun.
    func cancel() -> TokenWait? {
        state.withLock { state in
            defer { state = .cancelled }
            if case .waiting(let wait) = state { return wait }
            return nil
        }
    }
}
