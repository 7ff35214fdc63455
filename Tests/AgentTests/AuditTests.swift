import Foundation
import Logging
import MetadataProtocol
import MetadataServer
import Operations
import Synchronization
import Testing
import Tokens

@testable import Settings
@testable import Telemetry

@Suite(.timeLimit(.minutes(10)))
struct AuditTests {
    private func record(_ uid: String?, _ reason: String = "limited") -> AuditRecord {
        var record = AuditRecord(event: .refusal, time: "2026-11-21T00:00:00.000Z", node: "n")
        record.subject.uid = uid
        record.reason = reason
        return record
    }

    @Test("the first denial of a kind is told at once, the rest of its minute in one line")
    func aggregation() {
        var denials = DenialAggregator()
        let start = ContinuousClock.now
        #expect(denials.note(record("a"), now: start)?.count == 1)
        for second in 1...50 { #expect(denials.note(record("a"), now: start + .seconds(second)) == nil) }
        #expect(denials.note(record("b"), now: start) != nil)
        #expect(denials.note(record("a", "pod_gone"), now: start) != nil)
        #expect(denials.take(endedAt: start + .seconds(59)).isEmpty)
        #expect(denials.take(endedAt: start + .seconds(60)).map(\.count) == [50])
        // A storm goes on as one line a minute; after a quiet minute the first is told at once again.
        #expect(denials.note(record("a"), now: start + .seconds(61)) == nil)
        #expect(denials.take(endedAt: start + .seconds(120)).map(\.count) == [1])
        #expect(denials.take(endedAt: start + .seconds(180)).isEmpty)
        #expect(denials.note(record("a"), now: start + .seconds(181))?.count == 1)
    }

    @Test("the audit log sums up as long as something was denied within a minute, and then sets no timer any more")
    func quiet() async throws {
        let clock = StepClock()
        let (lines, line) = AsyncStream.makeStream(of: String.self)
        let log = AuditLog(
            node: "n", callers: RecentCallers(), clock: clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { line.yield($0) }
        let running = Task { await log.run() }
        for _ in 1...3 {
            log.recordRefusal(of: AuditRecord.Subject(), kind: "access_token", reason: "limited", status: 429)
        }
        clock.start()
        var next = lines.makeAsyncIterator()
        let first = try #require(await next.next())
        #expect(first.contains("\"count\":1"))
        #expect(try #require(await next.next()).contains("\"count\":2"))
        // A minute until the line, and one more in which nothing comes.
        await clock.wait(for: 24)
        await log.close()
        running.cancel()
        await running.value
        #expect(clock.sleeps == 24)
    }

    @Test("of two ServiceAccounts that cannot be read each is named, with its own count")
    func accounts() {
        var denials = DenialAggregator()
        let now = ContinuousClock.now
        func unread(_ name: String) -> AuditRecord {
            var record = self.record(nil, "unavailable")
            record.subject = AuditRecord.Subject(namespace: "n", serviceAccount: name)
            return record
        }
        let first = denials.note(unread("loud"), now: now)
        #expect(first != nil)
        for _ in 0..<9 {
            let again = denials.note(unread("loud"), now: now)
            #expect(again == nil)
        }
        let quiet = [denials.note(unread("quiet"), now: now), denials.note(unread("quiet"), now: now)]
        #expect(quiet.map { $0?.subject.serviceAccount } == ["quiet", nil])
        let rest = denials.take().map { "\($0.subject.serviceAccount ?? "") \($0.count)" }
        #expect(rest.sorted() == ["loud 9", "quiet 1"])
    }

    @Test("however many different denials come, what is remembered and written is bounded")
    func bound() {
        var denials = DenialAggregator()
        let now = ContinuousClock.now
        let told = (0..<20_000).compactMap { denials.note(record("pod-\($0)"), now: now) }
        #expect(told.count == DenialAggregator.limit + 1)
        #expect(told.last?.reason == "others" && told.last?.subject.uid == nil)
        #expect(denials.count == DenialAggregator.limit + 1)
        #expect(denials.count <= DenialAggregator.most)
        let rest = denials.take()
        #expect(rest.map(\.count) == [20_000 - DenialAggregator.limit - 1])
    }

    @Test("a line is valid JSON whatever an upstream said")
    func line() throws {
        var record = record("u")
        record.message = "\u{0}\n\"\\\u{2028}\u{1f600}"
        record.object = AuditRecord.Object(kind: "access_token", scopes: ["a", "b\n"])
        record.subject.cgroup = .max
        record.zone = "zone-\"a"
        record.subject.labels = ["tier": "front\"end", "app.kubernetes.io/name": ""]
        #expect(record.line.hasSuffix("}\n") && !record.line.dropLast().contains("\n"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(record.line.utf8)) as? [String: Any])
        #expect(object["message"] as? String == record.message)
        #expect(object["scopes"] as? [String] == ["a", "b\n"])
        #expect(object["cgroupId"] as? String == "18446744073709551615")
        #expect(object["zone"] as? String == record.zone)
        #expect(object["labels"] as? [String: String] == record.subject.labels)
        #expect(object["version"] as? Int == 1 && object["count"] as? Int == 1)
    }

    @Test("a token's ID is the beginning of its jti's SHA-256")
    func tokenID() {
        #expect(TokenID.hash("abc") == "ba7816bf8f01cfea")
    }

    @Test("a full disk loses lines, says so once it is over, and leaves no half a line")
    func fullDisk() async throws {
        let directory = try Directory()
        defer { directory.remove() }
        // A file system of one page: a line of more cannot be written, and what was there before stays whole.
        try directory.mount("size=4k")
        let path = directory.path + "/audit"
        let file = try AuditFile(path: path, logger: Logger(label: "test")) { #"{"lost":\#($0)}"# + "\n" }
        let big = String(repeating: "x", count: 3000) + "\n"
        for _ in 0..<3 { file.append(big) }
        try await until { file.lost.current == 2 }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == big)
        try FileManager.default.removeItem(atPath: path)
        file.append("again\n")
        // The close gives up after a second, which a busy machine may need for the line.
        try await until { file.written.current == 2 }
        await file.close()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "{\"lost\":2}\nagain\n")
    }

    @Test("a reader that does not read costs lines, and neither the agent's time nor its end")
    func blockedReader() async throws {
        let directory = try Directory()
        defer { directory.remove() }
        let path = directory.path + "/pipe"
        let made = unsafe mkfifo(path, 0o600)
        try #require(made == 0)
        let reader = unsafe open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let file = try AuditFile(path: path, logger: Logger(label: "test")) { "\($0)\n" }
        let line = String(repeating: "x", count: 1000) + "\n"
        for _ in 0..<(AuditFile.queueLimit * 3) { file.append(line) }
        #expect(file.lost.current > 0)
        await file.close()
    }

    @Test(
        "what waits is written before the end, and what comes later is lost, whether or not the task is cancelled",
        arguments: [false, true])
    func closing(isCancelled: Bool) async throws {
        let directory = try Directory()
        defer { directory.remove() }
        let path = directory.path + "/audit"
        let file = try AuditFile(path: path, logger: Logger(label: "test")) { "\($0)\n" }
        let lines = (1...1000).map { "\($0)\n" }
        for line in lines { file.append(line) }
        let (begins, begin) = AsyncStream.makeStream(of: Void.self)
        let closing = Task {
            for await _ in begins {}
            await file.close(within: .seconds(60))
        }
        if isCancelled { closing.cancel() }
        begin.finish()
        await closing.value
        file.append("late\n")
        #expect(file.written.current == 1000 && file.lost.current == 1)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == lines.joined())
    }

    @Test("a path that cannot be opened, or is a symbolic link, ends the start with a sentence")
    func badPath() throws {
        let directory = try Directory()
        defer { directory.remove() }
        try FileManager.default.createSymbolicLink(
            atPath: directory.path + "/link", withDestinationPath: directory.path + "/elsewhere")
        for path in [directory.path + "/none/audit", directory.path + "/link"] {
            #expect(throws: ConfigurationError.self) {
                try AuditFile(path: path, logger: Logger(label: "test")) { "\($0)" }
            }
        }
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/elsewhere"))
    }

    @Test("the positions of routes and statuses are those of their sets")
    func positions() {
        #expect(RouteClass.allCases.map(\.row) == Array(RouteClass.allCases.indices))
        #expect(Response.Status.allCases.map(\.column) == Array(Response.Status.allCases.indices))
    }

    /// Asks until `condition` holds, for ten seconds at most.
    private func until(_ condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !condition() {
            try #require(ContinuousClock.now < deadline)
            await Task.yield()
        }
    }

    private final class Directory {
        let path = NSTemporaryDirectory() + "podidentd-\(UUID().uuidString)"
        private var isMounted = false

        init() throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        }

        func mount(_ options: String) throws {
            let result = unsafe Glibc.mount("tmpfs", path, "tmpfs", 0, options)
            try #require(result == 0)
            isMounted = true
        }

        func remove() {
            if isMounted { unsafe umount2(path, CInt(MNT_DETACH)) }
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}

/// A clock on which every sleep is over at once, in its own time, from its start on.
private final class StepClock: TokenClock {
    private struct State {
        var now = ContinuousClock.now
        var sleeps = 0
    }

    private let state = Mutex(State())
    private let (started, begin) = AsyncStream.makeStream(of: Void.self)
    private let (steps, step) = AsyncStream.makeStream(of: Int.self)

    var now: ContinuousClock.Instant { state.withLock { $0.now } }
    var sleeps: Int { state.withLock { $0.sleeps } }

    func start() { begin.finish() }

    func wait(for count: Int) async {
        for await number in steps where number >= count { return }
    }

    func sleep(until deadline: ContinuousClock.Instant) async throws(CancellationError) {
        for await _ in started {}
        if Task.isCancelled { throw CancellationError() }
        let number = state.withLock { state in
            state.now = max(state.now, deadline)
            state.sleeps += 1
            return state.sleeps
        }
        step.yield(number)
    }
}
