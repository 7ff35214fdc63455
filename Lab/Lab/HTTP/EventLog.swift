import Synchronization

/// A bounded list of things that happened, on which a test can wait.
///
/// The newest `capacity` events are kept; `total` counts all of them.
package final class EventLog<Event: Sendable>: Sendable {
    private struct Storage {
        var events: [Event] = []
        var total = 0
        var observers: [Int: AsyncStream<Void>.Continuation] = [:]
        var nextObserver = 0
    }

    private let capacity: Int
    private let storage = Mutex(Storage())

    /// Creates an empty log that keeps the newest `capacity` events.
    package init(capacity: Int = 4096) {
        self.capacity = capacity
    }

    /// The newest events, oldest first.
    package var events: [Event] {
        storage.withLock { $0.events }
    }

    /// How many events were recorded since the log was created or cleared.
    package var total: Int {
        storage.withLock { $0.total }
    }

    /// Appends `event` and wakes the waiters.
    package func record(_ event: Event) {
        storage.withLock { storage in
            storage.total += 1
            storage.events.append(event)
            if storage.events.count > capacity {
                storage.events.removeFirst(storage.events.count - capacity)
            }
            for observer in storage.observers.values {
                observer.yield()
            }
        }
    }

    /// Forgets everything recorded so far.
    package func clear() {
        storage.withLock { storage in
            storage.events = []
            storage.total = 0
        }
    }

    /// Waits until the recorded events satisfy `condition`, and returns them.
    ///
    /// The condition is asked once at the start and again after every event; nothing polls.
    /// - Throws: ``DeadlineExceeded`` after `deadline` (times ``LabKernel/patience``), `CancellationError` when the
    /// caller is cancelled.
    @discardableResult
    package func wait(
        within deadline: Duration = .seconds(60),
        until condition: @escaping @Sendable ([Event]) -> Bool
    ) async throws -> [Event] {
        try await found(within: deadline) {
            let events = self.events
            return condition(events) ? events : nil
        }
    }

    /// Waits until ``total`` is `count` at least.
    ///
    /// Unlike ``wait(within:until:)`` it takes no events out of the log, which would have to be copied for the next one: for
    /// logs of thousands that grow all the time.
    package func wait(within deadline: Duration = .seconds(60), forTotal count: Int) async throws {
        try await found(within: deadline) { self.total >= count ? () : nil }
    }

    /// Looks once at the start and after every event, until something is found.
    private func found<Value: Sendable>(
        within deadline: Duration, _ look: @escaping @Sendable () -> Value?
    ) async throws -> Value {
        let deadline = deadline * LabKernel.patience
        let (ticks, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let observer = storage.withLock { storage in
            storage.nextObserver += 1
            storage.observers[storage.nextObserver] = continuation
            return storage.nextObserver
        }
        defer { storage.withLock { _ = $0.observers.removeValue(forKey: observer) } }
        continuation.yield()
        return try await withThrowingTaskGroup(of: Value.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                for await _ in ticks {
                    if let value = look() { return value }
                }
                throw CancellationError()
            }
            group.addTask {
                try await Task.sleep(for: deadline)
                throw DeadlineExceeded(deadline: deadline)
            }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }

    /// Waits until at least one recorded event satisfies `condition`, and returns the first that does.
    @discardableResult
    package func first(
        within deadline: Duration = .seconds(60),
        where condition: @escaping @Sendable (Event) -> Bool
    ) async throws -> Event {
        let events = try await wait(within: deadline) { $0.contains(where: condition) }
        guard let event = events.first(where: condition) else { throw DeadlineExceeded(deadline: deadline) }
        return event
    }
}

/// An awaited event did not happen in time.
package struct DeadlineExceeded: Error, CustomStringConvertible {
    /// How long was waited.
    package let deadline: Duration

    package var description: String { "the awaited event did not happen within \(deadline)" }
}
