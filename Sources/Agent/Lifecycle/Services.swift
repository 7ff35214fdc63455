import ServiceLifecycle
import Synchronization

/// Something that runs until the agent stops.
struct RunningService: Service {
    let body: @Sendable () async -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown { await body() }
    }
}

/// Something that works by itself and is closed in its turn when the agent stops.
struct ClosingService: Service {
    let close: @Sendable () async -> Void

    func run() async throws {
        try? await gracefulShutdown()
        await close()
    }
}

/// Something that runs until the agent stops, or ends the agent by failing.
struct FailingService: Service {
    let body: @Sendable () async throws -> Void

    func run() async throws {
        try await cancelWhenGracefulShutdown { try await body() }
    }
}

/// An error that may come once, for the one who waits for it.
final class Failure<Reason: Error>: Sendable {
    private let (errors, continuation) = AsyncStream.makeStream(of: Reason.self, bufferingPolicy: .bufferingOldest(1))
    private let hasCome = Atomic<Bool>(false)

    /// Whether the error has come.
    var isReported: Bool { hasCome.load(ordering: .acquiring) }

    /// Returns whether this is the error: later ones do not count.
    @discardableResult
    func report(_ error: Reason) -> Bool {
        guard !hasCome.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        continuation.yield(error)
        return true
    }

    /// Throws the error, or returns when the task is cancelled.
    func wait() async throws {
        for await error in errors { throw error }
    }
}

/// Something that is needed before the services run, and runs until the agent stops.
struct EarlyService: Service {
    private let task: Task<Void, Never>

    init(_ body: @escaping @Sendable () async -> Void) {
        task = Task { await body() }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown { [task] in
            await withTaskCancellationHandler {
                await task.value
            } onCancel: {
                task.cancel()
            }
        }
    }

    /// Cancels the task: for a start that fails before the services run.
    func cancel() { task.cancel() }
}

/// A gate that is opened once, for everybody who waits.
final class Latch: Sendable {
    private struct Storage {
        var isOpen = false
        var waiters: [AsyncStream<Void>.Continuation] = []
    }

    private let storage = Mutex(Storage())

    func open() {
        let waiters = storage.withLock { storage in
            defer { storage.waiters = [] }
            storage.isOpen = true
            return storage.waiters
        }
        for waiter in waiters { waiter.finish() }
    }

    /// Waits at most so long, and says whether the gate is open.
    func wait(atMost limit: Duration) async -> Bool {
        let (opening, waiter) = AsyncStream.makeStream(of: Void.self)
        let isOpen = storage.withLock { storage in
            if !storage.isOpen { storage.waiters.append(waiter) }
            return storage.isOpen
        }
        if isOpen { return true }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in opening {} }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        return storage.withLock { $0.isOpen }
    }
}
