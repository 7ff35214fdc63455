import Foundation
import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import Operations

/// Access to the admin socket. Runs as root, as `make test` does.
@Suite(.serialized, .timeLimit(.minutes(10))) struct AdminAccessTests {
    @Test("the socket is its owner's alone, in a directory that is its owner's alone")
    func modes() async throws {
        try await withDirectory { directory in
            let path = directory + "/made/admin.sock"
            try await withServer(path) {
                let modes = [try mode(path), try mode(directory + "/made")]
                #expect(modes == [S_IFSOCK | 0o600, S_IFDIR | 0o700])
                let seen = try await AdminClient(socketPath: path).get("/view")
                #expect(seen == Array("seen".utf8))
            }
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test("another user gets nothing, even from a socket that is open to all")
    func otherUser() async throws {
        try await withDirectory { directory in
            let path = directory + "/admin.sock"
            try await withServer(path) {
                try change(directory, to: 0o755)
                try change(path, to: 0o666)
                let answers = [try await ask(path, as: 0), try await ask(path, as: 65_534), try await ask(path, as: 0)]
                #expect(answers == ["seen", "", "seen"])
            }
        }
    }

    @Test("a socket that a dead agent left is replaced")
    func staleSocket() async throws {
        try await withDirectory { directory in
            let path = directory + "/admin.sock"
            // A server that closes a socket in order removes it; one that has been moved stays, as after a kill.
            let stale = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .bind(unixDomainSocketPath: path + ".old").get()
            try FileManager.default.moveItem(atPath: path + ".old", toPath: path)
            try await stale.close().get()
            #expect(try mode(path) & S_IFMT == S_IFSOCK)
            try await withServer(path) {
                let seen = try await AdminClient(socketPath: path).get("/view")
                #expect(seen == Array("seen".utf8))
            }
        }
    }

    @Test("a server that was stopped makes no socket again, whichever comes first")
    func stopsForGood() async throws {
        try await withDirectory { directory in
            let path = directory + "/admin.sock"
            for isStarted in [true, false] {
                let server = server(path)
                if isStarted { try await server.start() }
                async let stop: Void = server.stop()
                try await server.start()
                await stop
                try await server.start()
                #expect(server.isListening && !FileManager.default.fileExists(atPath: path))
            }
        }
    }

    @Test("a path that no Unix socket can have is refused with its length and the kernel's limit")
    func longPath() async {
        let longest = "/" + String(repeating: "a", count: UnixListener.pathBytesMax - 1)
        await #expect {
            _ = try await AdminClient(socketPath: longest + "a").get("/view")
        } throws: { error in
            "\(error)".contains("the path has 108 bytes, and the kernel takes 107")
        }
        await #expect {
            _ = try await AdminClient(socketPath: longest).get("/view")
        } throws: { error in
            !"\(error)".contains("108")
        }
    }

    enum Obstacle: String, CaseIterable { case file, directory, linkToFile, danglingLink }

    @Test("what is no socket is never replaced, and never followed", arguments: Obstacle.allCases)
    func obstacle(_ obstacle: Obstacle) async throws {
        try await withDirectory { directory in
            let path = directory + "/admin.sock"
            let target = directory + "/precious"
            try Data("kept".utf8).write(to: URL(fileURLWithPath: target))
            switch obstacle {
            case .file: try Data("kept".utf8).write(to: URL(fileURLWithPath: path))
            case .directory:
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            case .linkToFile: try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
            case .danglingLink:
                try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: directory + "/nowhere")
            }
            let before = try linkStatus(path)
            await #expect(throws: AdminServerError.self) { try await withServer(path) {} }
            #expect(try linkStatus(path) == before)
            #expect(try Data(contentsOf: URL(fileURLWithPath: target)) == Data("kept".utf8))
            #expect(!FileManager.default.fileExists(atPath: directory + "/nowhere"))
        }
    }

    @Test("a directory that others may write to is refused, in words that say what to do", arguments: [0o770, 0o777])
    func sharedDirectory(_ mode: Int) async throws {
        try await withDirectory { directory in
            try change(directory, to: mode)
            let error = await #expect(throws: AdminServerError.self) {
                try await withServer(directory + "/admin.sock") {}
            }
            #expect(error?.description.contains("0700") == true)
        }
    }

    @Test("a directory of another user is refused")
    func foreignDirectory() async throws {
        try await withDirectory { directory in
            try FileManager.default.setAttributes(
                [.ownerAccountID: 65_534, .groupOwnerAccountID: 65_534], ofItemAtPath: directory)
            await #expect(throws: AdminServerError.self) { try await withServer(directory + "/admin.sock") {} }
        }
    }

    // MARK: -

    private func server(_ path: String) -> AdminServer {
        AdminServer(
            path: path, endpoints: ["/view": { Array("seen".utf8) }],
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    private func withServer(_ path: String, _ body: () async throws -> Void) async throws {
        let server = server(path)
        try await server.start()
        do {
            try await body()
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = NSTemporaryDirectory() + "podidentd-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    private func mode(_ path: String) throws -> mode_t { try linkStatus(path).first.map { mode_t($0) } ?? 0 }

    private func change(_ path: String, to mode: Int) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    /// Mode and inode, of a link itself.
    private func linkStatus(_ path: String) throws -> [UInt64] {
        var status = stat()
        let result = unsafe lstat(path, &status)
        try #require(result == 0)
        return [UInt64(status.st_mode), UInt64(status.st_ino)]
    }

    /// The bytes that a process of this user reads from the socket.
    private func ask(_ path: String, as user: Int) async throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
        process.arguments = [
            "--reuid", "\(user)", "--regid", "\(user)", "--clear-groups", "curl", "-s", "--max-time", "60",
            "--unix-socket", path, "http://localhost/view",
        ]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}
