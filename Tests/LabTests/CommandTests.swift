import Foundation
import Testing

@testable import Lab

@Suite(.timeLimit(.minutes(10)))
struct CommandTests {
    @Test("a command's end is seen while those that started at the same moment go on, and none holds what is another's")
    func neighbours() async throws {
        let pairs = try await withThrowingTaskGroup(of: [(short: Command, long: Command)].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try await onThread {
                        Result {
                            try (0..<12).map { _ in (try Command(["echo", "done"]), try Command(["sleep", "300"])) }
                        }
                    }.get()
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        defer { for pair in pairs { pair.long.signal(SIGKILL) } }
        for pair in pairs {
            let result = await pair.short.result()
            #expect(result.status == 0 && result.output == "done\n")
            let descriptors = "/proc/\(pair.long.processIdentifier)/fd"
            #expect(try FileManager.default.contentsOfDirectory(atPath: descriptors).sorted() == ["0", "1", "2"])
            #expect(pair.long.isRunning)
        }
        for pair in pairs {
            pair.long.signal(SIGKILL)
            #expect(await pair.long.result().status == 128 + SIGKILL)
        }
    }

    @Test("a command's end counts, not that of what it left behind")
    func leftBehind() async throws {
        let result = try await Command.run(["sh", "-c", "sleep 300 & echo $!; echo to errors >&2; exit 3"])
        #expect(result.status == 3 && result.errorOutput == "to errors\n")
        let left = try #require(Int32(result.output.trimmingCharacters(in: .newlines)))
        #expect(kill(left, SIGKILL) == 0)
    }

    @Test("a command without a waiting caller leaves nothing either")
    func unattended() async throws {
        let identifier = try Command(["true"]).processIdentifier
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while kill(identifier, 0) == 0, ContinuousClock.now < deadline { await Task.yield() }
        #expect(kill(identifier, 0) == -1 && errno == ESRCH)
    }

    @Test("what a command reads and writes is whole, however much it is")
    func large() async throws {
        let text = String(repeating: "a line of forty characters, more or less\n", count: 1_000)
        let result = try await Command.run(["tee", "/dev/stderr"], input: text)
        #expect(result.output == text && result.errorOutput == text)
    }

    @Test("input for a command that ends at once ends no other process, and a program that is not there is named")
    func absent() async throws {
        #expect(try await Command.run(["true"], input: String(repeating: "x", count: 60_000)).status == 0)
        await #expect(throws: LabError.self) { try await Command.run(["no-such-program"]) }
    }
}
