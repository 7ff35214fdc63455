import BPF
import Foundation
import Lab
import Testing

@testable import Enforcement
@testable import Settings

/// `podidentd-opener` against the real kernel: what it opens in foreign namespaces, with which rights, and what it refuses.
@Suite(.serialized, .timeLimit(.minutes(10)), .enabled(if: geteuid() == 0, "needs root"))
struct OpenerTests {
    private static let exact = ["sys_admin", "net_bind_service"]
    private static let exactByProcess = exact + ["sys_ptrace"]

    @Test(
        "with exactly its capabilities it listens on both loopback addresses of a foreign namespace, on the device lo")
    func opens() async throws {
        try await withNamespace { namespace in
            let opener = try Opener(bounds: Self.exact)
            #expect(opener.way == .handle)
            let opened = try opener.open(namespace.request())
            defer { opened.descriptors.forEach { close($0) } }
            #expect(opened.port == 988 && opened.families == .both && opened.descriptors.count == 2)
            for descriptor in opened.descriptors {
                #expect(try TestNamespace.cookie(of: descriptor) == namespace.id.cookie)
                var name = [UInt8](repeating: 0, count: 16)
                var length = socklen_t(name.count)
                #expect(unsafe getsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, &name, &length) == 0)
                #expect(name.starts(with: "lo\0".utf8))
                #expect(fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
            }
            let listening = try await Command.require(
                ["nsenter", "--net=\(namespace.network.path)", "ss", "-Htln"])
            #expect(listening.contains("127.0.0.1%lo:988"), "\(listening)")
            #expect(listening.contains("[::1]%lo:988"), "\(listening)")
        }
    }

    @Test("without handles it finds a namespace by a process in it, with CAP_SYS_PTRACE beside, and not without")
    func byProcess() async throws {
        try await withNamespace { namespace in
            let opener = try Opener(bounds: Self.exactByProcess, arguments: ["by-process"])
            #expect(opener.way == .process)
            let opened = try opener.open(namespace.request())
            opened.descriptors.forEach { close($0) }
            #expect(opened.families == .both)
            // The process ID of another namespace's process, as after a reuse.
            try await withNamespace { other in
                let request = namespace.request(process: other.processID)
                #expect(throws: OpenerFailure(error: ESTALE, step: .compare)) { try opener.open(request) }
            }
            // No user of the host's: as most containers' processes.
            let stranger = try Command([
                "nsenter", "--net=\(namespace.network.path)", "setpriv", "--reuid=64243", "--clear-groups", "sleep",
                "60",
            ])
            defer { stranger.signal(SIGKILL) }
            try await Self.wait {
                try String(contentsOfFile: "/proc/\(stranger.processIdentifier)/comm", encoding: .utf8) == "sleep\n"
            }
            let request = namespace.request(process: UInt32(stranger.processIdentifier))
            try opener.open(request).descriptors.forEach { close($0) }
            let bound = try Opener(bounds: Self.exact, arguments: ["by-process"])
            #expect(throws: OpenerFailure(error: EACCES, step: .find)) { try bound.open(request) }
        }
    }

    @Test("each capability is needed", arguments: exact)
    func missing(capability: String) async throws {
        try await withNamespace { namespace in
            let opener = try Opener(bounds: Self.exact.filter { $0 != capability })
            let failure = #expect(throws: OpenerFailure.self) { try opener.open(namespace.request()) }
            #expect(
                failure.map { [EPERM, EACCES, ESTALE].contains($0.error) } == true, "\(String(describing: failure))")
            #expect(failure?.step == (capability == "sys_admin" ? .find : .listen))
        }
    }

    @Test(
        "it holds exactly its capabilities, gets no new ones, and filters its system calls", arguments: [false, true])
    func rights(byProcess: Bool) throws {
        let opener = try Opener(arguments: byProcess ? ["by-process"] : [])
        let lines = try String(contentsOfFile: "/proc/\(opener.processID)/status", encoding: .utf8)
        func field(_ name: String) -> String? {
            lines.split(separator: "\n").first { $0.hasPrefix(name + ":") }
                .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
        }
        // CAP_NET_BIND_SERVICE (10), CAP_SYS_ADMIN (21), and CAP_SYS_PTRACE (19).
        let kept: UInt64 = 1 << 10 | 1 << 21 | (byProcess ? 1 << 19 : 0)
        #expect(field("CapEff").flatMap { UInt64($0, radix: 16) } == kept)
        #expect(field("CapPrm") == field("CapEff"))
        for empty in ["CapInh", "CapBnd", "CapAmb"] {
            #expect(field(empty).flatMap { UInt64($0, radix: 16) } == 0, "\(empty)")
        }
        #expect(field("NoNewPrivs") == "1" && field("Seccomp") == "2" && field("Threads") == "1")
        // Standard streams, the agent's socket, its own network namespace: nothing of what its starter had.
        #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(opener.processID)/fd").count == 5)
    }

    @Test(
        "a port that another process holds, in either family, is passed over for both; with every port held it says so")
    func taken() async throws {
        try await withNamespace { namespace in
            let opener = try Opener()
            let holder = try namespace.network.listen(host: "::1", port: 988)
            defer { close(holder) }
            let opened = try opener.open(namespace.request())
            #expect(opened.port == 987 && opened.families == .both)
            let next = try opener.open(namespace.request())
            #expect(next.port == 986)
            let failure = OpenerFailure(error: EADDRINUSE, step: .listen)
            #expect(throws: failure) { try opener.open(namespace.request(ports: 3)) }
            (opened.descriptors + next.descriptors).forEach { close($0) }
            try opener.open(namespace.request(ports: 3)).descriptors.forEach { close($0) }
        }
    }

    @Test("a namespace without IPv6 gets IPv4 alone, and IPv6 on the same port once it has it")
    func oneFamily() async throws {
        try await withNamespace("link set lo down") { namespace in
            let opener = try Opener()
            let first = try opener.open(namespace.request())
            #expect(first.families == .ipv4 && first.descriptors.count == 1)
            try await namespace.network.ip("link set lo up")
            let second = try opener.open(namespace.request(port: first.port, ports: 1, families: .ipv6))
            #expect(second.families == .ipv6 && second.port == first.port)
            (first.descriptors + second.descriptors).forEach { close($0) }
        }
    }

    @Test("it keeps no namespace alive: one that has ended goes with the last of its sockets, and cannot be opened")
    func ended() async throws {
        try await withNamespace { witness in
            let opener = try Opener()
            let namespace = try await TestNamespace()
            // This end goes when the namespace of the other does.
            try await witness.network.ip("link add end type veth peer name other netns \(namespace.network.name)")
            let opened = try opener.open(namespace.request())
            await namespace.remove()
            // The sockets alone keep it now.
            let again = try opener.open(namespace.request())
            try await witness.network.ip("link show end")
            (opened.descriptors + again.descriptors).forEach { close($0) }
            let deadline = ContinuousClock.now + .seconds(60)
            while (try? await witness.network.ip("link show end")) != nil {
                guard ContinuousClock.now < deadline else { throw LabError("the namespace is there after a minute") }
            }
            let failure = #expect(throws: OpenerFailure.self) { try opener.open(namespace.request()) }
            #expect(failure == OpenerFailure(error: ESTALE, step: .find) && failure?.isGone == true)
        }
    }

    @Test("a cookie and an inode number that do not belong together open nothing", arguments: [false, true])
    func mismatch(byProcess: Bool) async throws {
        try await withNamespace { namespace in
            let opener = try Opener(arguments: byProcess ? ["by-process"] : [])
            for (cookie, inode) in [
                (namespace.id.cookie + 1, namespace.id.inode), (namespace.id.cookie, namespace.id.inode + 1),
            ] {
                var request = namespace.request()
                request.namespace = NetworkNamespaceID(cookie: cookie, inode: inode)
                let failure = #expect(throws: OpenerFailure.self) { try opener.open(request) }
                #expect(failure?.isGone == true && failure?.error == ESTALE, "\(String(describing: failure))")
            }
            try opener.open(namespace.request()).descriptors.forEach { close($0) }
        }
    }

    @Test("it serves a child user namespace's network namespace")
    func userNamespace() async throws {
        let child = try Command([
            "unshare", "--user", "--net", "--map-root-user", "sh", "-c",
            "ip link set lo up && echo up >&2 && exec sleep 60",
        ])
        defer { child.signal(SIGKILL) }
        _ = try await child.errorLines.first(within: .seconds(60)) { $0 == "up" }
        let network = "/proc/\(child.processIdentifier)/ns/net"
        var status = stat()
        try #require(unsafe stat(network, &status) == 0)
        let text = try await Command.require(
            [
                "nsenter", "--net=\(network)", "python3", "-c",
                "import socket; print(int.from_bytes(socket.socket().getsockopt(1, 71, 8), 'little'))",
            ])
        let cookie = try #require(UInt64(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        let opener = try Opener(bounds: Self.exact)
        let id = NetworkNamespaceID(cookie: cookie, inode: UInt32(truncatingIfNeeded: status.st_ino))
        let opened = try opener.open(
            OpenerRequest(namespace: id, process: 0, ports: ListenerPorts(first: 988)))
        #expect(opened.families == .both)
        opened.descriptors.forEach { close($0) }
    }

    @Test("it ends when the agent's end of the socket is closed")
    func end() async throws {
        var opener: Opener? = try Opener()
        let process = try #require(opener?.processID)
        #expect(opener?.isRunning == true)
        opener = nil
        var status: CInt = 0
        #expect(unsafe waitpid(process, &status, 0) == process)
        #expect(status == 0)
    }

    @Test(
        "what tells the agent to end, or to read its configuration again, does not end it",
        arguments: [SIGTERM, SIGINT, SIGHUP])
    func signals(signal: CInt) async throws {
        try await withNamespace { namespace in
            var opener: Opener? = try Opener()
            let process = try #require(opener?.processID)
            try #require(kill(process, signal) == 0)
            // A process that the signal ends does so before it reads.
            let opened = try #require(try opener?.open(namespace.request()))
            opened.descriptors.forEach { close($0) }
            opener = nil
            var status: CInt = 0
            #expect(unsafe waitpid(process, &status, 0) == process)
            #expect(status == 0)
        }
    }

    @Test("what is no request ends it: a short one, one of no family, of no port, with more ports than there are")
    func invalid() throws {
        let id = NetworkNamespaceID(cookie: 1, inode: 1)
        let valid = OpenerRequest(namespace: id, process: 0, ports: ListenerPorts(first: 988, count: 1)).bytes
        var cases = [Array(valid.dropLast()), valid + [0], [1]]
        for (index, byte) in [(18, UInt8(0)), (19, 0), (19, 4), (20, 1), (17, 0)] {
            var bytes = valid
            bytes[index] = byte
            if index == 17 { bytes[16] = 0 }
            cases.append(bytes)
        }
        for bytes in cases {
            let opener = try Opener()
            opener.sendForTests(bytes)
            var status: CInt = 0
            #expect(unsafe waitpid(opener.processID, &status, 0) == opener.processID)
            #expect(status == 3 << 8, "\(bytes)")
            #expect(!opener.isRunning)
            #expect(throws: OpenerError.self) {
                try opener.open(OpenerRequest(namespace: id, process: 0, ports: ListenerPorts(first: 988)))
            }
        }
    }

    private static func wait(_ condition: () throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try !condition() {
            guard ContinuousClock.now < deadline else { throw LabError("it did not come about within a minute") }
            await Task.yield()
        }
    }
}
