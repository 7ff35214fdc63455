/// Virtual time and all that happens in it: one queue of events, one thread, no waiting.
///
/// The agent's tasks run on it. They never meet another thread, so that the order in which they run is the order in which they
/// became ready. The thread that lets time pass is the only one that uses its members.
package final class Timeline: TaskExecutor, @unchecked Sendable {
    private enum Event {
        case job(UnownedJob)
        case action(() -> Void)
    }

    private var planned = PlannedActions()
    /// Events of the present moment, in the order in which they became ready, and the buffer that takes those of the next round.
    private var ready: [Event] = []
    private var round: [Event] = []
    /// The moment of the beginning: an arbitrary one, of which only distances count.
    package let start = ContinuousClock.now
    /// Nanoseconds since the beginning.
    package private(set) var elapsed: Int64 = 0
    package private(set) var now: ContinuousClock.Instant

    package init() { now = start }

    /// Has `action` happen later. Events of one moment happen in the order in which they were planned.
    package func after(_ delay: Duration, _ action: @escaping () -> Void) {
        let (seconds, attoseconds) = delay.components
        after(nanoseconds: seconds * 1_000_000_000 + attoseconds / 1_000_000_000, action)
    }

    package func after(nanoseconds: Int64, _ action: @escaping () -> Void) {
        if nanoseconds <= 0 { ready.append(.action(action)) } else { planned.add(action, at: elapsed + nanoseconds) }
    }

    /// Starts a task of the agent's, or of the world's.
    package func task(_ work: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        Task(executorPreference: self) { await work() }
    }

    package func enqueue(_ job: consuming ExecutorJob) { ready.append(.job(UnownedJob(job))) }

    /// Lets time pass, and all happen that is due in it.
    package func advance(by duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let end = elapsed + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        runReady()
        while let moment = planned.first, moment <= end {
            set(moment)
            while planned.first == moment { ready.append(.action(planned.removeFirst())) }
            runReady()
        }
        set(end)
    }

    private func set(_ nanoseconds: Int64) {
        elapsed = nanoseconds
        now = start + .nanoseconds(nanoseconds)
    }

    private func runReady() {
        while !ready.isEmpty {
            swap(&ready, &round)
            for event in round {
                switch event {
                case .job(let job): unsafe job.runSynchronously(on: asUnownedTaskExecutor())
                case .action(let action): action()
                }
            }
            round.removeAll(keepingCapacity: true)
        }
    }

    // MARK: Sleep

    private final class Sleeper: @unchecked Sendable {
        private var continuation: CheckedContinuation<Bool, Never>?
        private(set) var isCancelled = false

        func begin(_ continuation: CheckedContinuation<Bool, Never>) { self.continuation = continuation }

        func end(cancelled: Bool) {
            isCancelled = cancelled
            continuation?.resume(returning: !cancelled)
            continuation = nil
        }
    }

    /// Returns after `duration`, or throws when the task is cancelled. A cancelled sleeper's event stays in the queue, without effect.
    package func sleep(for duration: Duration) async throws(CancellationError) {
        let sleeper = Sleeper()
        let hasSlept = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard !sleeper.isCancelled else { return continuation.resume(returning: false) }
                sleeper.begin(continuation)
                after(duration) { sleeper.end(cancelled: false) }
            }
        } onCancel: {
            sleeper.end(cancelled: true)
        }
        if !hasSlept { throw CancellationError() }
    }
}
