import Foundation
import Linux
import Synchronization
import Testing

/// The calls of Linux that Swift lacks.
@Suite(.timeLimit(.minutes(10))) struct LinuxTests {
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

    @Test func `a file that an operator names is read when it is a regular one, and else the error says what it is`()
        throws
    {
        let folder = NSTemporaryDirectory() + "files-\(UUID())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data("text".utf8).write(to: URL(fileURLWithPath: folder + "/regular"))
        try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "regular")
        for name in ["regular", "link"] {
            #expect(try RegularFile.read(folder + "/" + name, atMost: 4) == [UInt8]("text".utf8))
        }
        try #require(unsafe mkfifo(folder + "/pipe", 0o600) == 0)
        for (path, words) in [
            (folder, "is a directory, and a regular file is wanted"), (folder + "/pipe", "is a pipe, and"),
            ("/dev/null", "is a device, and"), (folder + "/nothing", "does not exist"),
            (folder + "/regular/below", "cannot be read: Not a directory"),
        ] {
            let problem = #expect(throws: RegularFile.Problem.self) { try RegularFile.read(path, atMost: 4) }
            #expect(problem?.description.hasPrefix(words) == true, "\(path): \(problem?.description ?? "")")
        }
        let problem = #expect(throws: RegularFile.Problem.self) { try RegularFile.read(folder + "/link", atMost: 3) }
        #expect(problem?.description == "has more than 3 bytes")
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
