package import EventLoops
import NIOCore
package import NIOEmbedded
import Tokens

/// Virtual time and all that happens in it: one queue of events, one thread, no waiting.
///
/// The agent's tasks run on an event loop that time is told to. They never meet another thread, so that the order in
/// which they run is the order in which they became ready.
package final class Timeline: Sendable {
    package let loop = EmbeddedEventLoop()
    package let executor: EventLoopExecutor
    /// The moment of the simulation's beginning: an arbitrary one, of which only distances count.
    package let start = ContinuousClock.now

    package init() {
        executor = EventLoopExecutor(loop)
    }

    /// Nanoseconds since the beginning.
    package var elapsed: Int64 { Int64(loop.now.uptimeNanoseconds) }
    package var now: ContinuousClock.Instant { start + .nanoseconds(elapsed) }

    /// Has `event` happen later. Events of one moment happen in the order in which they were planned.
    package func after(_ delay: Duration, _ event: @escaping @Sendable () -> Void) {
        loop.scheduleTask(in: TimeAmount(max(delay, .zero)), event)
    }

    /// Starts a task of the agent's, or of the world's.
    package func task(_ work: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        Task(executorPreference: executor) { await work() }
    }

    /// Lets time pass, and all happen that is due in it.
    package func advance(by duration: Duration) {
        loop.advanceTime(by: TimeAmount(duration))
    }
}

/// The virtual time as the agent's parts ask for it. Timers do not count the time that the node's machine sleeps; `now` does.
struct SimulatedClock: TokenClock, Clock {
    typealias Instant = ContinuousClock.Instant

    let timeline: Timeline
    let node: SimulatedNode
    /// A bug put in on purpose: `now` does not count it either.
    var ignoresSleep = false

    var now: Instant { ignoresSleep ? timeline.now - node.slept : timeline.now }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant) async throws(CancellationError) {
        var left = max(deadline - now, .zero)
        repeat {
            let slept = node.slept
            try await timeline.executor.sleep(for: left)
            left = node.slept - slept
        } while left > .zero
    }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await sleep(until: deadline)
    }
}
