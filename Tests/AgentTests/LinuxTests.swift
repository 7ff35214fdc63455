import Foundation
import Linux
import Synchronization
import Testing

/// The calls of Linux that Swift lacks.
@Suite(.timeLimit(.minutes(1))) struct LinuxTests {
    @Test func `a file without a size is read whole or to a limit, and a pipe does not block`() throws {
        let whole = try #require(FileContents.read("/proc/self/status"))
        #expect(String(decoding: whole, as: UTF8.self).contains("Threads:"))
        #expect(FileContents.read("/proc/self/status", atMost: 5) == Array(whole.prefix(5)))
        #expect(FileContents.read("/proc/self/nothing") == nil && errno == ENOENT)
        #expect(FileContents.read([UInt8]("/proc/self/\u{fffd}".utf8)) == nil)
        let pipe = NSTemporaryDirectory() + "pipe-\(UUID())"
        try #require(unsafe mkfifo(pipe, 0o600) == 0)
        defer { unsafe unlink(pipe) }
        #expect(FileContents.read(pipe) == [])
    }

    @Test func `work on a thread of its own gives its value back`() async throws {
        let caller = pthread_self()
        #expect(await OwnThread.run { pthread_self() } != caller)
        let hasRun = Mutex(false)
        try OwnThread { hasRun.withLock { $0 = true } }.join()
        #expect(hasRun.withLock { $0 })
    }

    @Test func `a program gets the descriptors and the environment that it is given`() throws {
        var ends: [CInt] = [-1, -1]
        try #require(unsafe pipe(&ends) == 0)
        defer { close(ends[0]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let child = try SpawnRequest(
            path: "/bin/sh", arguments: ["sh", "-c", "echo \"$A.$HOME\" >&7"], environment: ["A=1"],
            descriptors: [(ends[1], 7)]
        ).start()
        close(ends[1])
        #expect(try FileHandle(fileDescriptor: ends[0]).readToEnd() == Data("1.\n".utf8))
        var status: CInt = 0
        #expect(unsafe waitpid(child, &status, 0) == child && status == 0)
        #expect(throws: SystemError(number: ENOENT)) {
            try SpawnRequest(path: "/nowhere", arguments: ["nowhere"], descriptors: []).start()
        }
    }
}
