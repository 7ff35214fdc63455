import Synchronization

/// A listener, for instance, that a server has from its start until it is stopped, for good. The stop may come before the start.
final class UntilStopped<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var isStopped = false
    }

    private let state = Mutex(State())

    var value: Value? { state.withLock { $0.value } }

    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Keeps `value`, unless the server was stopped: `false` then, and it is the caller's to close.
    func keep(_ value: Value) -> Bool {
        state.withLock { state in
            if !state.isStopped { state.value = value }
            return !state.isStopped
        }
    }

    /// Returns what was kept. Nothing is kept any more.
    func stop() -> Value? {
        state.withLock { state in
            defer { state = State(isStopped: true) }
            return state.value
        }
    }
}
