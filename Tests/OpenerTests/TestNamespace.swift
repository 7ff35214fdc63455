import BPF
import Foundation
import Lab
import Testing

@testable import Enforcement
@testable import Settings

/// A network namespace of its own, with a process in it, removed with ``remove()``.
struct TestNamespace {
    let network: NetworkNamespace
    let process: Command
    let id: NetworkNamespaceID

    init(_ commands: String = "link set lo up") async throws {
        network = NetworkNamespace(name: "\(LabNode.prefix)-\(getpid())-\(UInt16.random(in: 0...UInt16.max))-o")
        try await Command.require(["ip", "netns", "add", network.name])
        try await network.ip(commands)
        process = try Command(["nsenter", "--net=\(network.path)", "sleep", "600"])
        id = NetworkNamespaceID(cookie: try network.run { try Self.cookie() }, inode: try Self.inode(network.path))
        // Until then it is still in the namespace that it was started in.
        let path = "/proc/\(process.processIdentifier)/ns/net"
        let deadline = ContinuousClock.now + .seconds(60)
        while try Self.inode(path) != id.inode {
            guard ContinuousClock.now < deadline else { throw LabError("nsenter did not enter \(network.name)") }
            await Task.yield()
        }
    }

    var processID: UInt32 { UInt32(process.processIdentifier) }

    /// Ends the process and takes the name away: only what else holds it keeps the namespace.
    func remove() async {
        process.signal(SIGKILL)
        _ = await process.result()
        _ = try? await Command.run(["ip", "netns", "delete", network.name])
    }

    func request(
        port: UInt16 = 988, ports: UInt8 = 4, families: LoopbackFamilies = .both, process: UInt32? = nil
    ) -> OpenerRequest {
        OpenerRequest(
            namespace: id, process: process ?? processID, ports: ListenerPorts(first: port, count: ports),
            families: families)
    }

    static func cookie(of descriptor: CInt) throws -> UInt64 {
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        // SO_NETNS_COOKIE
        try #require(unsafe getsockopt(descriptor, SOL_SOCKET, 71, &cookie, &length) == 0)
        return cookie
    }

    private static func cookie() throws -> UInt64 {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        return try cookie(of: descriptor)
    }

    private static func inode(_ path: String) throws -> UInt32 {
        var status = stat()
        try #require(unsafe stat(path, &status) == 0)
        return UInt32(truncatingIfNeeded: status.st_ino)
    }
}

extension Opener {
    /// Starts the opener that was built, with no more than these capabilities in its bounding set.
    convenience init(bounds: [String]? = nil, arguments: [String] = []) throws {
        let prefix = bounds.map {
            ["setpriv", "--bounding-set=" + (["-all"] + $0.map { "+" + $0 }).joined(separator: ",")]
        }
        try self.init(
            executable: try Binaries.directory() + "/podidentd-opener", prefix: prefix ?? [], arguments: arguments)
    }
}

/// Runs `body` with a namespace that is removed whatever happens.
func withNamespace(_ commands: String = "link set lo up", _ body: (TestNamespace) async throws -> Void) async throws {
    let namespace = try await TestNamespace(commands)
    do {
        try await body(namespace)
    } catch {
        await namespace.remove()
        throw error
    }
    await namespace.remove()
}
