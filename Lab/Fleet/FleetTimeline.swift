import Tokens

/// The virtual time of a fleet, and the one thread on which everything in it happens.
///
/// A cancelled timer stays in the queue until it is due. The agents of 5,000 nodes cancel one for every fetch, and NIO's
/// `EmbeddedEventLoop`, the clock of `Simulation`, searches its queue for each.
final class FleetTimeline: TaskExecutor, TokenClock, @unchecked Sendable {
    private struct Timer {
        var due: Int64
        var order: UInt64
        var action: () -> Void

        func precedes(_ other: Timer) -> Bool { (due, order) < (other.due, other.order) }
    }

    private final class Sleeper: @unchecked Sendable {
        private var continuation: CheckedContinuation<Bool, Never>?
        private var isCancelled = false

        func begin(_ continuation: CheckedContinuation<Bool, Never>) {
            if isCancelled { return continuation.resume(returning: false) }
            self.continuation = continuation
        }

        func end(cancelled: Bool) {
            isCancelled = cancelled
            continuation?.resume(returning: !cancelled)
            continuation = nil
        }
    }

    private var timers: [Timer] = []
    private var lastOrder: UInt64 = 0
    private var jobs: [UnownedJob] = []
    private let start = ContinuousClock.now
    /// Nanoseconds since the beginning.
    private(set) var elapsed: Int64 = 0
    private(set) var now: ContinuousClock.Instant

    init() { now = start }

    // MARK: Tasks

    func enqueue(_ job: consuming ExecutorJob) { jobs.append(UnownedJob(job)) }

    private func runJobs() {
        while !jobs.isEmpty {
            let batch = jobs
            jobs.removeAll(keepingCapacity: true)
            for job in batch { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
    }

    // MARK: Time

    func after(_ delay: Duration, _ action: @escaping () -> Void) {
        lastOrder += 1
        let (seconds, attoseconds) = max(delay, .zero).components
        // Rounded up: no sleeper wakes before its moment.
        let nanoseconds = seconds * 1_000_000_000 + (attoseconds + 999_999_999) / 1_000_000_000
        timers.append(Timer(due: elapsed + nanoseconds, order: lastOrder, action: action))
        var child = timers.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard timers[child].precedes(timers[parent]) else { break }
            timers.swapAt(child, parent)
            child = parent
        }
    }

    /// Lets time pass, and everything happen that is due in it.
    func advance(by duration: Duration) {
        let end = elapsed + duration.components.seconds * 1_000_000_000
        runJobs()
        while let first = timers.first, first.due <= end {
            elapsed = first.due
            now = start + .nanoseconds(elapsed)
            takeFirst()
            first.action()
            runJobs()
        }
        elapsed = end
        now = start + .nanoseconds(elapsed)
    }

    private func takeFirst() {
        timers.swapAt(0, timers.count - 1)
        timers.removeLast()
        var parent = 0
        while 2 * parent + 1 < timers.count {
            var child = 2 * parent + 1
            if child + 1 < timers.count, timers[child + 1].precedes(timers[child]) { child += 1 }
            guard timers[child].precedes(timers[parent]) else { break }
            timers.swapAt(child, parent)
            parent = child
        }
    }

    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        let sleeper = Sleeper()
        let hasSlept = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                sleeper.begin(continuation)
                after(deadline - now) { sleeper.end(cancelled: false) }
            }
        } onCancel: {
            sleeper.end(cancelled: true)
        }
        if !hasSlept { throw CancellationError() }
    }
}
