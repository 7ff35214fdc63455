import EventLoops
import Tokens

/// The system's clock, with the timers of an event loop: for waits that end by themselves, or are ended, within minutes.
///
/// They do not count through suspension, as `now` does. After one they end by that much later.
struct LoopTokenClock: TokenClock {
    let executor: EventLoopExecutor

    var now: ContinuousClock.Instant { ContinuousClock.now }

    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        try await executor.sleep(for: deadline - now)
    }
}
