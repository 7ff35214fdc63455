import Tokens
import VirtualTime

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
            try await timeline.sleep(for: left)
            left = node.slept - slept
        } while left > .zero
    }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await sleep(until: deadline)
    }
}
