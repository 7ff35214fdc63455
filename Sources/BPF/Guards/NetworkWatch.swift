import Netlink
import Synchronization

/// Decides whether the interfaces and addresses of the node's network namespace have to be listed again.
///
/// The agent lists them each time where the kernel reports no changes.
final class NetworkWatch: Sendable {
    private struct State: ~Copyable {
        let changes: NetworkChanges?
        var isDue = true
    }

    private let state: Mutex<State>

    /// Begins in the network namespace of the calling thread, which must be the node's.
    init() {
        state = Mutex(State(changes: try? NetworkChanges()))
    }

    /// Whether a list is due, which it is no more from here on: who cannot finish it calls ``demand()``.
    func take() -> Bool {
        state.withLock { state in
            defer { state.isDue = false }
            return (state.changes?.take() ?? true) || state.isDue
        }
    }

    /// Has a list be due, whatever the kernel reports.
    func demand() {
        state.withLock { $0.isDue = true }
    }
}
