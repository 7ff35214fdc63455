import Synchronization
import Testing
import Tokens

@testable import UpstreamHTTP

/// The order in which calls run for clients that wait.
@Suite(.timeLimit(.minutes(10))) struct CallQueueTests {
    private typealias Call = (name: String, since: ContinuousClock.Instant)

    /// The calls that ran, in order.
    private final class Journal: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock(\.self) }
        func append(_ line: String) { lines.withLock { $0.append(line) } }
    }

    /// How many calls run, and how many ran at a time at most.
    private final class Running: Sendable {
        private let storage = Mutex([0, 0])
        var counts: [Int] { storage.withLock(\.self) }
        func change(by step: Int) { storage.withLock { $0 = [$0[0] + step, max($0[1], $0[0] + step)] } }
    }

    /// Enqueues calls one after the other while a place of a queue is taken, and returns how they ran when it was free.
    private func outcome(of calls: [Call], cancelling cancelled: Set<String> = []) async -> [String] {
        let queue = CallQueue(limit: 1)
        let journal = Journal()
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let (begins, begin) = AsyncStream.makeStream(of: Void.self)
        let first = Task {
            try await queue.run(since: .now) {
                begin.yield()
                for await _ in ends { return }
            }
        }
        for await _ in begins { break }
        var tasks: [Task<Void, Never>] = []
        for call in calls {
            tasks.append(
                Task {
                    do {
                        try await queue.run(since: call.since) { journal.append(call.name) }
                    } catch {
                        journal.append("cancelled \(call.name)")
                    }
                })
            while queue.waitingCount < tasks.count { await Task.yield() }
        }
        for (task, call) in zip(tasks, calls) where cancelled.contains(call.name) {
            task.cancel()
            await task.value
        }
        end.yield()
        for task in tasks { await task.value }
        _ = await first.result
        #expect(queue.waitingCount == 0)
        return journal.all
    }

    @Test("The call runs first whose client has waited longest, not the one that came to the queue first")
    func order() async {
        let now = ContinuousClock.now
        let calls: [Call] = [
            ("b", now - .seconds(1)), ("d", now), ("a", now - .seconds(2)), ("c", now - .seconds(1)),
            ("refresh", now + ClientWait.limit),
        ]
        #expect(await outcome(of: calls) == ["a", "b", "c", "d", "refresh"])
    }

    @Test("A client that has given up does not keep one that still waits")
    func late() async {
        let now = ContinuousClock.now
        let calls: [Call] = [("gone", now - .seconds(60)), ("older", now - .seconds(30)), ("waiting", now)]
        #expect(await outcome(of: calls) == ["waiting", "gone", "older"])
    }

    @Test("A call whose task is cancelled while it waits does not run, and its place is free")
    func cancelled() async {
        let now = ContinuousClock.now
        #expect(
            await outcome(of: [("a", now), ("b", now), ("c", now)], cancelling: ["b"]) == ["cancelled b", "a", "c"])
    }

    @Test("As many calls run at a time as the limit says, and one that throws gives its place back")
    func limit() async throws {
        let queue = CallQueue(limit: 2)
        let running = Running()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<50 {
                group.addTask {
                    try? await queue.run(since: .now) {
                        running.change(by: 1)
                        await Task.yield()
                        running.change(by: -1)
                        if number % 2 == 0 { throw TransportError(.timedOut) }
                    }
                }
            }
        }
        #expect(running.counts == [0, 2])
        try await queue.run(since: .now) {}
    }
}
