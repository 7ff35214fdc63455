import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import Operations

@Suite(.timeLimit(.minutes(10)))
struct UnixListenerTests {
    private static func listen(at path: String) async throws -> UnixListener {
        try await UnixListener.open(at: path, ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton))
    }

    private static func connects(to path: String) async -> Bool {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        guard let channel = try? await bootstrap.connect(unixDomainSocketPath: path).get() else { return false }
        try? await channel.close().get()
        return true
    }

    @Test("a successor's socket takes the place of its predecessor's, which leaves it alone")
    func succession() async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/unix-listener-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/a.sock"
        let first = try await Self.listen(at: path)
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
        #expect(await Self.connects(to: path))
        let second = try await Self.listen(at: path)
        await first.close()
        #expect(await Self.connects(to: path))
        await second.close()
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
    }

    @Test("what a dead agent left is replaced")
    func leftOver() async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/unix-listener-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let made = unsafe mknod(directory + "/a.sock", S_IFSOCK | 0o600, 0)
        try #require(made == 0)
        let listener = try await Self.listen(at: directory + "/a.sock")
        #expect(await Self.connects(to: directory + "/a.sock"))
        await listener.close()
    }
}
