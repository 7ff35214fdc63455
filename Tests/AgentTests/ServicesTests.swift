import Dispatch
import EventLoops
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import Agent

/// How the parts of an agent run and end.
@Suite(.timeLimit(.minutes(10))) struct ServicesTests {
    /// Events, in order.
    private final class Log: Sendable {
        private let entries = Mutex<[String]>([])

        func note(_ entry: String) { entries.withLock { $0.append(entry) } }
        var all: [String] { entries.withLock { $0 } }
    }

    private struct Broken: Error, Equatable {}

    private static func group(_ stages: [Stage]) -> ServiceGroup {
        ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: stages.map(\.configuration), gracefulShutdownSignals: [],
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })))
    }

    /// Returns when the task is cancelled.
    private static func untilCancelled() async {
        let (never, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in never {}
        continuation.finish()
    }

    @Test func `parts end in reverse when the agent stops, and what runs does not outlive its turn`() async throws {
        let log = Log()
        let (begins, begin) = AsyncStream.makeStream(of: Void.self)
        let group = Self.group([
            .closes { log.note("records closed") },
            .runs {
                begin.finish()
                await Self.untilCancelled()
                log.note("pods ended")
            },
            .closes { log.note("listeners closed") },
        ])
        async let run: Void = group.run()
        for await _ in begins {}
        await group.triggerGracefulShutdown()
        try await run
        #expect(log.all == ["listeners closed", "pods ended", "records closed"])
    }

    @Test func `a start that failed closes what is closed, and ends nothing that never ran`() async {
        let log = Log()
        let stages = [Stage.closes { log.note("closed") }, .runs { log.note("ran") }]
        for stage in stages.reversed() { await stage.abandon() }
        #expect(log.all == ["closed"])
    }

    @Test func `the first failure that is reported ends the agent`() async {
        let failure = Failure<Broken>()
        #expect(!failure.isReported)
        let reports = (1...3).map { _ in failure.report(Broken()) }
        #expect(reports == [true, false, false])
        #expect(failure.isReported)
        let stage = Stage(service: FailingService { try await failure.wait() }, abandon: {})
        await #expect(throws: Broken()) { try await Self.group([stage]).run() }
    }

    @Test func `a part that fails ends the others in reverse, each in its turn and none by cancellation`() async {
        let log = Log()
        let failure = Failure<Broken>()
        let stages = [
            Stage.closes { log.note(Task.isCancelled ? "records cancelled" : "records closed") },
            .runs {
                await Self.untilCancelled()
                log.note("pods ended")
            },
            Stage(service: FailingService { try await failure.wait() }, abandon: {}),
            .closes { log.note(Task.isCancelled ? "listeners cancelled" : "listeners closed") },
        ]
        failure.report(Broken())
        await #expect(throws: Broken()) { try await Self.group(stages).run() }
        #expect(log.all == ["listeners closed", "pods ended", "records closed"])
    }

    @Test func `a part that fails while the others end changes nothing of their order`() async {
        let log = Log()
        let failure = Failure<Broken>()
        let stages = [
            Stage.closes { log.note(Task.isCancelled ? "records cancelled" : "records closed") },
            Stage(service: FailingService { try await failure.wait() }, abandon: {}),
            .closes {
                failure.report(Broken())
                log.note("listeners closed")
            },
        ]
        let group = Self.group(stages)
        await group.triggerGracefulShutdown()
        await #expect(throws: Broken()) { try await group.run() }
        #expect(log.all == ["listeners closed", "records closed"])
    }

    @Test func `after a failure pods wait for the end, and what is in flight has a second at most`() {
        let seconds = [0, 1, 5, 300].map { Duration.seconds($0) }
        let ordinary = seconds.map { DrainTime(configured: $0, keepsPodsWaiting: false) }
        #expect(ordinary.map(\.requests) == seconds && ordinary.map(\.streams) == seconds)
        let failed = seconds.map { DrainTime(configured: $0, keepsPodsWaiting: true) }
        #expect(failed.map(\.requests) == [.zero, .seconds(1), .seconds(1), .seconds(1)])
        #expect(failed.allSatisfy { $0.streams == .zero })
    }

    @Test(arguments: [false, true])
    func `a close is waited for, also in a task that is cancelled, and no longer than it may take`(
        isCancelled: Bool
    ) async {
        let log = Log()
        let (begins, begin) = AsyncStream.makeStream(of: Void.self)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let closing = Task {
            for await _ in begins {}
            await runClosing(within: .seconds(60)) { log.note(Task.isCancelled ? "cancelled" : "closed") }
            await runClosing(within: .milliseconds(1)) {
                for await _ in gate {}
                log.note("closed late")
            }
            log.note("over")
        }
        if isCancelled { closing.cancel() }
        begin.finish()
        await closing.value
        #expect(log.all == ["closed", "over"])
        open.finish()
    }

    @Test func `a close that blocks its thread is waited for as long as it may take, and keeps no task from running`()
        async
    {
        let log = Log()
        await Stage.closesOnThread(within: .seconds(60)) { log.note("closed") }.abandon()
        #expect(log.all == ["closed"])
        let gate = DispatchSemaphore(value: 0)
        // More than there are threads for tasks on any machine that runs this.
        let count = 256
        await withDiscardingTaskGroup { group in
            for _ in 0..<count {
                let stage = Stage.closesOnThread(within: .milliseconds(1)) {
                    gate.wait()
                    log.note("closed late")
                }
                group.addTask { await stage.abandon() }
            }
        }
        #expect(log.all == ["closed"])
        for _ in 0..<count { gate.signal() }
    }

    @Test func `an early service runs before the others, and ends when they do, or when it is cancelled`() async throws
    {
        let (events, event) = AsyncStream.makeStream(of: String.self)
        var next = events.makeAsyncIterator()
        let early = {
            EarlyService {
                event.yield("runs")
                await Self.untilCancelled()
                event.yield("ends")
            }
        }
        let abandoned = early()
        var seen = [await next.next()]
        abandoned.cancel()
        seen.append(await next.next())
        #expect(seen == ["runs", "ends"])
        let service = early()
        seen.append(await next.next())
        let group = Self.group([Stage(service: service, abandon: {})])
        async let run: Void = group.run()
        await group.triggerGracefulShutdown()
        try await run
        seen.append(await next.next())
        #expect(seen.dropFirst(2) == ["runs", "ends"])
    }

    @Test func `a latch lets everybody through once it is open, and a wait that ends before says so`() async {
        let latch = Latch()
        #expect(await latch.wait(atMost: .zero) == false)
        async let first = latch.wait(atMost: .seconds(50))
        async let second = latch.wait(atMost: .seconds(50))
        latch.open()
        latch.open()
        let opened = [await first, await second]
        #expect(opened == [true, true])
        #expect(await latch.wait(atMost: .zero))
    }

    @Test func `a part is there once it was set`() {
        let slot = Slot<Int>()
        #expect(slot.current == nil)
        slot.set(1)
        slot.set(2)
        #expect(slot.current == 2)
    }
}
