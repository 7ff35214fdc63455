package import NIOCore

/// An event loop as an executor for tasks, which SwiftNIO has for actors alone.
///
/// Work that alternates between tasks and channels is a handful of short steps, each of which waits for the one before.
/// To change the thread costs more than most steps, above all where a processor must wake up for it: tasks that prefer
/// their channels' loop do not. They must not block it.
package final class EventLoopExecutor: TaskExecutor {
    package let eventLoop: any EventLoop

    package init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

extension EventLoopExecutor {
    /// Returns after `duration` or later; throws when the task is cancelled.
    ///
    /// `Task.sleep` has a thread for its timers, which wakes up for each that is set. An event loop needs no other
    /// thread for its timers.
    package func sleep(for duration: Duration) async throws(CancellationError) {
        let timer = eventLoop.scheduleTask(in: TimeAmount(duration)) {}
        do {
            try await withTaskCancellationHandler {
                try await timer.futureResult.get()
            } onCancel: {
                timer.cancel()
            }
        } catch {
            throw CancellationError()
        }
    }

    /// Returns the result of `work`. At the end of `limit` the work is cancelled, and its last result counts still.
    ///
    /// - Returns: `nil` if the work has none.
    package func result<Value: Sendable>(
        within limit: Duration, of work: @escaping @Sendable () async -> Value?
    ) async -> Value? {
        await withTaskGroup(of: Value?.self) { group in
            group.addTask { await work() }
            group.addTask {
                try? await self.sleep(for: limit)
                return nil
            }
            for await result in group {
                group.cancelAll()
                if let result { return result }
            }
            return nil
        }
    }
}
