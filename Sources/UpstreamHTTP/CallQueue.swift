import Synchronization
import Tokens

/// Lets a bounded number of calls to one upstream run at a time. Of those that wait, the one runs next whose client has
/// waited longest in all, however long ago it came to this queue.
///
/// Without it each upstream would serve calls in the order in which they came to it. When a node's pods start at once,
/// a pod that was late at one upstream would be late at the next as well. None would be served early.
final class CallQueue: Sendable {
    private typealias Instant = ContinuousClock.Instant

    private struct Waiting {
        let ticket: UInt64
        /// The time at which the client's request arrived.
        let since: Instant
        let continuation: CheckedContinuation<Bool, Never>

        /// A client that has given up comes after all that have not.
        func precedes(_ other: Waiting, now: Instant) -> Bool {
            let (isLate, isOtherLate) = (since + ClientWait.limit <= now, other.since + ClientWait.limit <= now)
            if isLate != isOtherLate { return isOtherLate }
            return (since, ticket) < (other.since, other.ticket)
        }
    }

    private struct Storage {
        var running = 0
        /// Bounded by the fetches that the token service runs at a time.
        var waiting: [Waiting] = []
        var lastTicket: UInt64 = 0
    }

    private let limit: Int
    private let storage = Mutex(Storage())

    /// - Parameter limit: Calls that run at the same time; at least 1.
    init(limit: Int) {
        self.limit = max(limit, 1)
    }

    /// Calls that wait for their turn.
    var waitingCount: Int { storage.withLock(\.waiting.count) }

    /// Runs `call` when it is its turn.
    ///
    /// - Parameters:
    ///   - since: When the client's request arrived.
    ///   - call: What to run.
    /// - Returns: What `call` returned.
    /// - Throws: What `call` throws, and a `CancellationError` if the task is cancelled before.
    func run<Answer: Sendable>(
        since: ContinuousClock.Instant, _ call: () async throws -> Answer
    ) async throws -> Answer {
        guard await enter(since) else { throw CancellationError() }
        defer { leave() }
        return try await call()
    }

    /// Returns whether it is the call's turn; `false` when the task was cancelled.
    private func enter(_ since: Instant) async -> Bool {
        let ticket = storage.withLock { storage in
            storage.lastTicket += 1
            return storage.lastTicket
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome = storage.withLock { storage -> Bool? in
                    // A cancellation before this point found no waiter to dismiss, but shows here; one after it will.
                    if Task.isCancelled { return false }
                    if storage.running < limit {
                        storage.running += 1
                        return true
                    }
                    storage.waiting.append(Waiting(ticket: ticket, since: since, continuation: continuation))
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let dismissed = storage.withLock { storage in
                storage.waiting.firstIndex { $0.ticket == ticket }.map { storage.waiting.remove(at: $0) }
            }
            dismissed?.continuation.resume(returning: false)
        }
    }

    private func leave() {
        let now = ContinuousClock.now
        let next = storage.withLock { storage -> Waiting? in
            guard
                let index = storage.waiting.indices.min(by: { first, second in
                    storage.waiting[first].precedes(storage.waiting[second], now: now)
                })
            else {
                storage.running -= 1
                return nil
            }
            // The place of the call that ends is handed over.
            return storage.waiting.remove(at: index)
        }
        next?.continuation.resume(returning: true)
    }
}
