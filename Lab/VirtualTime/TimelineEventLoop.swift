package import Dispatch
package import NIOCore
import Synchronization

/// The timeline as an event loop of SwiftNIO, for parts of the agent that set their timers on one.
package final class TimelineEventLoop: EventLoop {
    private let timeline: Timeline

    package init(_ timeline: Timeline) { self.timeline = timeline }

    package var inEventLoop: Bool { true }
    package var now: NIODeadline { .uptimeNanoseconds(UInt64(timeline.elapsed)) }

    package func execute(_ task: @escaping @Sendable () -> Void) { timeline.after(nanoseconds: 0, task) }

    package func scheduleTask<T>(
        deadline: NIODeadline, _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> {
        scheduleTask(in: deadline - now, task)
    }

    /// A cancelled task stays in the queue, and does not run.
    package func scheduleTask<T>(in delay: TimeAmount, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        let promise = makePromise(of: T.self)
        let cancellation = Cancellation()
        timeline.after(nanoseconds: delay.nanoseconds) {
            guard !cancellation.hasHappened else { return }
            do {
                promise.assumeIsolated().succeed(try task())
            } catch {
                promise.fail(error)
            }
        }
        return Scheduled(promise: promise) { cancellation.happen() }
    }

    private final class Cancellation: Sendable {
        private let flag = Atomic(false)

        var hasHappened: Bool { flag.load(ordering: .relaxed) }

        func happen() { flag.store(true, ordering: .relaxed) }
    }

    package func preconditionNotInEventLoop(file: StaticString, line: UInt) {
        preconditionFailure("everything happens on the timeline", file: file, line: line)
    }

    package func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        queue.async { callback(nil) }
    }
}
