import NIOCore
import Synchronization
import Testing
import VirtualTime

/// The timeline as the event loop of the agent's parts.
@Suite struct TimelineEventLoopTests {
    private final class Runs: Sendable {
        private let names = Mutex<[String]>([])

        var all: [String] { names.withLock { $0 } }

        func add(_ name: String) { names.withLock { $0.append(name) } }
    }

    @Test("a task runs at its moment, and not once it was cancelled before")
    func cancellation() {
        let (timeline, runs) = (Timeline(), Runs())
        let loop = TimelineEventLoop(timeline)
        let cancelled = loop.scheduleTask(in: .seconds(1)) { runs.add("cancelled") }
        cancelled.futureResult.whenFailure { runs.add("\($0 is EventLoopError)") }
        _ = loop.scheduleTask(in: .seconds(1)) { runs.add("kept") }
        let late = loop.scheduleTask(in: .seconds(1)) { runs.add("late") }
        cancelled.cancel()
        #expect(runs.all == ["true"])
        timeline.advance(by: .seconds(2))
        #expect(runs.all == ["true", "kept", "late"])
        late.cancel()
        timeline.advance(by: .seconds(2))
        #expect(runs.all == ["true", "kept", "late"])
    }
}
