import Synchronization

/// A flag that one task waits for: raising it many times before it is seen counts once.
final class MissSignal: Sendable {
    private struct Storage {
        var isRaised = false
        var waiter: CheckedContinuation<Bool, Never>?
    }

    private let storage = Mutex(Storage())

    func raise() {
        let waiter = storage.withLock { storage in
            storage.isRaised = storage.waiter == nil
            return storage.waiter.take()
        }
        waiter?.resume(returning: true)
    }

    /// Forgets a raised flag: what it asked for is about to happen.
    func clear() {
        storage.withLock { $0.isRaised = false }
    }

    /// Waits until the flag is raised and lowers it. `false`: cancelled, and the flag is as it was.
    func wait() async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = storage.withLock { storage in
                    // Seen here, or by the handler below: it takes the same lock after the task is marked.
                    if Task.isCancelled { return false }
                    if storage.isRaised {
                        storage.isRaised = false
                        return true
                    }
                    storage.waiter = continuation
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            storage.withLock { $0.waiter.take() }?.resume(returning: false)
        }
    }
}
