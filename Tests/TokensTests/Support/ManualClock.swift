import Synchronization
import Tokens

/// Time that passes only when a test says so.
final class ManualClock: TokenClock {
    private struct Storage {
        var now = ContinuousClock.now
        var lastID = 0
        var sleepers: [Int: (deadline: ContinuousClock.Instant, continuation: CheckedContinuation<Bool, Never>)] = [:]
        var cancelled: Set<Int> = []
    }

    private let storage = Mutex(Storage())

    var now: ContinuousClock.Instant { storage.withLock { $0.now } }

    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        let id = storage.withLock { storage in
            storage.lastID += 1
            return storage.lastID
        }
        let isDue = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = storage.withLock { storage in
                    if storage.cancelled.remove(id) != nil { return false }
                    if deadline <= storage.now { return true }
                    storage.sleepers[id] = (deadline, continuation)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let sleeper = storage.withLock { storage in
                let sleeper = storage.sleepers.removeValue(forKey: id)
                if sleeper == nil { storage.cancelled.insert(id) }
                return sleeper
            }
            sleeper?.continuation.resume(returning: false)
        }
        if !isDue { throw CancellationError() }
    }

    func advance(by duration: Duration) {
        let due = storage.withLock { storage in
            storage.now += duration
            let due = storage.sleepers.filter { $0.value.deadline <= storage.now }
            for id in due.keys { storage.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in due { continuation.resume(returning: true) }
    }

    /// Returns once a task sleeps until `deadline` exactly.
    func sleeper(until deadline: ContinuousClock.Instant) async {
        await eventually { storage.withLock { $0.sleepers.values.contains { $0.deadline == deadline } } }
    }
}

/// A clock on which every sleep is over at once, in its own time.
final class SkippingClock: TokenClock {
    private let storage = Mutex((now: ContinuousClock.now, sleeps: [Duration]()))

    var now: ContinuousClock.Instant { storage.withLock { $0.now } }
    var sleeps: [Duration] { storage.withLock { $0.sleeps } }

    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        if Task.isCancelled { throw CancellationError() }
        storage.withLock { storage in
            storage.sleeps.append(deadline - storage.now)
            storage.now = max(storage.now, deadline)
        }
    }
}

/// Gives other tasks their turn until `condition` holds. The suite's time limit bounds it.
func eventually(_ condition: () -> Bool) async {
    while !condition() {
        if Task.isCancelled { return }
        await Task.yield()
    }
}
