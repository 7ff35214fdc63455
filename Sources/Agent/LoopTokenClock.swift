import EventLoops
import Tokens

/// The system's clock, with the timers of an event loop: for waits that end by themselves, or are ended, within minutes.
///
/// The timers stop while the machine is suspended, and `now` goes on: after a suspension of a minute a wait ends a minute
/// late.
struct LoopTokenClock: TokenClock {
    let executor: EventLoopExecutor

    var now: ContinuousClock.Instant { ContinuousClock.now }

    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        try await executor.sleep(for: deadline - now)
    }
}
