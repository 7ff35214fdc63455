import Attribution
import BPF
import Foundation
import Lab
import Testing

/// The cgroups of both ends of Unix connections, as a program of the kernel reads them from the accepted descriptor.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct UnixPeerTests {
    /// The ways in which a process may connect. The letters are cgroups: `a` and `b` of two pods, `d` one below `a`.
    enum Way: String, CaseIterable, Sendable {
        case plain
        case movedBeforeConnect
        case movedAfterConnect
        case exited
        case zombie
        case removed

        /// The cgroups of connector and creator.
        var ends: (connector: String, creator: String) {
            switch self {
            case .plain, .movedAfterConnect, .exited, .zombie: ("a", "a")
            case .movedBeforeConnect: ("b", "a")
            case .removed: ("d", "d")
            }
        }
    }

    /// Connects in one of the ways, says so, and keeps the descriptor until it is told to end.
    private static let script = """
        import os, signal, socket, sys
        way, path, other = sys.argv[1:4]
        def move():
            with open(other + "/cgroup.procs", "w") as file: file.write(str(os.getpid()))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        if way in ("exited", "zombie"):
            near, far = socket.socketpair()
            if (child := os.fork()) == 0:
                made = socket.socket(socket.AF_UNIX)
                made.connect(path)
                socket.send_fds(far, [b"x"], [made.fileno()])
                os._exit(0)
            kept = socket.recv_fds(near, 1, 1)[1]
            if way == "exited": os.waitpid(child, 0)
            else: os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            move()
        else:
            made = socket.socket(socket.AF_UNIX)
            if way == "movedBeforeConnect": move()
            made.connect(path)
            if way in ("movedAfterConnect", "removed"): move()
        print("connected", file=sys.stderr, flush=True)
        signal.sigwait({signal.SIGUSR1})
        """

    @Test(
        "26, 27: an accepted socket names the cgroup of the task that connected, and the other end that of the task that made it",
        .enabled(if: LabKernel.tellsSocketCreators, "the cgroup of a socket's creator came with Linux 5.15"),
        arguments: Way.allCases)
    func ends(_ way: Way) async throws {
        let node = try await LabNode()
        do {
            try await check(way, on: node)
        } catch {
            await node.tearDown()
            throw error
        }
        await node.tearDown()
    }

    private func check(_ way: Way, on node: LabNode) async throws {
        let cgroups = try CgroupFileSystem(mountPoint: node.cgroupMountPointInside)
        let peers = try UnixPeerCgroups()
        let first = try await node.addPod(RunningPodSpecification(name: "a"))
        let second = try await node.addPod(RunningPodSpecification(name: "b"))
        let below = first.cgroup + "/d"
        try FileManager.default.createDirectory(
            atPath: node.cgroupDirectory(below), withIntermediateDirectories: true)
        var ids: [String: CgroupID] = [:]
        for (name, path) in ["a": first.containerCgroup, "b": second.containerCgroup, "d": below] {
            let id: CgroupID = try #require(cgroups.id(of: [UInt8](path.utf8)))
            ids[name] = id
        }
        let listener = try Listener(node.directory + "/door.sock")
        let peer = try first.start(
            ["python3", "-c", Self.script, way.rawValue, listener.path, node.cgroupDirectory(second.containerCgroup)],
            cgroup: way == .removed ? below : nil)
        try await peer.errorLines.first(within: .seconds(60)) { $0 == "connected" }
        if way == .removed {
            let result = unsafe rmdir(node.cgroupDirectory(below))
            #expect(result == 0)
        }
        let accepted = accept(listener.descriptor, nil, nil)
        try #require(accepted >= 0)
        defer { close(accepted) }
        let ends = try peers.ends(of: accepted)
        #expect(ends.connector == ids[way.ends.connector])
        #expect(ends.creator == ids[way.ends.creator])
        if way == .removed { #expect(cgroups.path(of: ends.connector) == nil) }
        peer.signal(SIGUSR1)
        _ = await peer.result()
        // Also of a connection that the other side has closed meanwhile.
        #expect(try peers.ends(of: accepted) == ends)
    }

    @Test("descriptors that are no connected Unix sockets have no ends, each for its own reason")
    func others() throws {
        let peers = try UnixPeerCgroups()
        let mountPoint = try #require(try CgroupFileSystem.findMountPoint())
        let cgroups = try CgroupFileSystem(mountPoint: mountPoint)
        // Such a kernel says the same of every descriptor.
        guard LabKernel.tellsSocketCreators else {
            let error = #expect(throws: BPFError.self) { try peers.verify(by: cgroups) }
            #expect(error?.errorNumber == EOPNOTSUPP)
            return
        }
        try peers.verify(by: cgroups)
        let unconnected = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let tcp = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        let file = unsafe open("/proc/self/status", O_RDONLY)
        defer { for descriptor in [unconnected, tcp, file] { close(descriptor) } }
        for (descriptor, number) in [
            (unconnected, ENOTCONN), (tcp, EAFNOSUPPORT), (file, ENOTSOCK), (-1, EBADF), (1_000_000, EBADF),
        ] {
            let error = #expect(throws: BPFError.self) { try peers.ends(of: descriptor) }
            #expect(error?.errorNumber == number, "\(descriptor)")
        }
    }

    /// A Unix socket that listens.
    private struct Listener: ~Copyable {
        let path: String
        let descriptor: CInt

        init(_ path: String) throws {
            self.path = path
            descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(path.utf8)
            try #require(bytes.count < MemoryLayout.size(ofValue: address.sun_path))
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
            let bound = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(bound == 0 && listen(descriptor, 8) == 0)
        }

        deinit {
            close(descriptor)
        }
    }
}
