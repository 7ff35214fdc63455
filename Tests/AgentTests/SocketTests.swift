import Attribution
import Glibc
import Testing

@testable import Diagnostics
@testable import Enforcement
@testable import Restart
@testable import Settings

/// Sockets on this machine's loopback addresses.
enum Loopback {
    static func address(_ isIPv6: Bool) -> AgentConfiguration.Address {
        isIPv6
            ? AgentConfiguration.Address(text: "::1", value: .ipv6(0, 1))
            : AgentConfiguration.Address(text: "127.0.0.1", value: .ipv4(0x7f00_0001))
    }

    /// A socket that accepts connections, and its port.
    static func listener(isIPv6: Bool = false) throws -> (descriptor: CInt, port: UInt16) {
        let descriptor = try ListeningSocket.open(
            address(isIPv6), port: 0, key: "metrics.address", portKey: "metrics.port")
        try ListeningSocket.listen(descriptor, address(isIPv6), 0)
        return (descriptor, port(of: descriptor))
    }

    /// A socket that receives packets, and its port.
    static func receiver(isIPv6: Bool) throws -> (descriptor: CInt, port: UInt16) {
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
        var name = sockaddr_in6()
        name.sin6_family = sa_family_t(isIPv6 ? AF_INET6 : AF_INET)
        let result = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe bind(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
        try #require(descriptor >= 0 && result == 0)
        return (descriptor, port(of: descriptor))
    }

    static func port(of descriptor: CInt) -> UInt16 {
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        _ = unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe getsockname(descriptor, pointer, &length)
            }
        }
        return UInt16(bigEndian: name.sin6_port)
    }
}

@Suite struct ListeningSocketTests {
    @Test func `a port that is held, and an address of another node, are told apart with the key to change`() throws {
        let (descriptor, port) = try Loopback.listener()
        defer { close(descriptor) }
        let held = #expect(throws: PortHeld.self) {
            try ListeningSocket.open(Loopback.address(false), port: port, key: "a.address", portKey: "a.port")
        }
        #expect(
            held?.description == "cannot listen on 127.0.0.1 port \(port): another process listens there already; end "
                + "it, or set a.port to a free port")
        let elsewhere = AgentConfiguration.Address(text: "192.0.2.1", value: .ipv4(0xc000_0201))
        let foreign = #expect(throws: ConfigurationError.self) {
            try ListeningSocket.open(elsewhere, port: port, key: "a.address", portKey: "a.port")
        }
        #expect(
            foreign?.description == "cannot listen on 192.0.2.1 port \(port): it is not an address of this node; set "
                + "a.address to one (status.hostIP)")
        let closed = #expect(throws: AgentError.self) { try ListeningSocket.listen(-1, Loopback.address(true), 9) }
        #expect(closed?.description == "cannot listen on ::1 port 9: Bad file descriptor")
    }
}

@Suite struct SocketSendingTests {
    @Test func `what was not sent is told apart: later, not this message, nothing any more`() throws {
        var pair: [CInt] = [0, 0]
        let result = unsafe socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
        try #require(result == 0)
        defer { close(pair[0]) }
        func attempt(_ descriptors: [CInt] = []) -> SocketControl.Sending {
            SocketControl.attempt([1], descriptors: descriptors, over: pair[0], waits: false)
        }
        #expect(attempt([pair[0]]) == .sent)
        #expect(attempt([-1]) == .failed(EBADF))
        // The kernel takes 253 in one message.
        #expect(attempt([CInt](repeating: pair[0], count: 254)) == .failed(EINVAL))
        var messages = 0
        while attempt() == .sent, messages < 100_000 { messages += 1 }
        #expect(attempt() == .full)
        close(pair[1])
        #expect(attempt() == .gone)
        #expect(SocketControl.attempt([1], descriptors: [], over: -1, waits: false) == .failed(EBADF))
    }
}

@Suite(.timeLimit(.minutes(10))) struct SocketNameTests {
    @Test(arguments: [("127.0.0.1", false), ("::1", true), ("::ffff:127.0.0.1", false)])
    func `a packet arrives at the address and port that were named`(_ address: String, isIPv6: Bool) throws {
        let (receiver, port) = try Loopback.receiver(isIPv6: isIPv6)
        let name = try #require(SocketName(address, port: port))
        let sender = socket(name.family, CInt(SOCK_DGRAM.rawValue), 0)
        defer { for descriptor in [receiver, sender] { close(descriptor) } }
        #expect(name.family == (address.contains(":") ? AF_INET6 : AF_INET))
        #expect(name.send([1, 2, 3], on: sender) == 0)
        var bytes = [UInt8](repeating: 0, count: 8)
        #expect(unsafe recv(receiver, &bytes, bytes.count, 0) == 3 && bytes.starts(with: [1, 2, 3]))
        #expect(name.send([], on: -1) == EBADF)
    }

    @Test func `what is no address has no name`() {
        for text in ["", "localhost", "127.0.0.1:80", "[::1]", "::1%lo", "127.0.0.01"] {
            #expect(SocketName(text, port: 80).map(\.family) == nil, "\(text)")
        }
    }
}

/// Tests what `check` tries from inside a cgroup, here from this process's, on loopback addresses.
@Suite(.timeLimit(.minutes(10))) struct ProbingTests {
    @Test(arguments: [false, true])
    func `a probe that need not reach the agent connects, sends nothing, and tells the far end`(isIPv6: Bool) throws {
        let (listener, port) = try Loopback.listener(isIPv6: isIPv6)
        defer { close(listener) }
        let address = Loopback.address(isIPv6).text
        let report = ProbingProcess.report([SocketProbe(kind: .connect, address: address, port: port)])
        let remote = isIPv6 ? "[::1]:\(port)" : "127.0.0.1:\(port)"
        #expect(report == SocketProbeReport(results: [SocketProbeResult(errorNumber: 0, remote: remote)]))
        let accepted = accept(listener, nil, nil)
        try #require(accepted >= 0)
        defer { close(accepted) }
        var byte: UInt8 = 0
        #expect(unsafe recv(accepted, &byte, 1, 0) == 0)
    }

    @Test func `each probe has its result, in order`() throws {
        let (listener, port) = try Loopback.listener()
        close(listener)
        let report = ProbingProcess.report([
            SocketProbe(kind: .connect, address: "127.0.0.1", port: port),
            SocketProbe(kind: .datagram, address: "127.0.0.1", port: port),
            SocketProbe(kind: .connect, address: "nowhere", port: port),
        ])
        #expect(report.problem == nil)
        #expect(report.results.map(\.errorNumber) == [ECONNREFUSED, 0, EINVAL])
        #expect(report.results.allSatisfy { $0.remote == nil && $0.status == nil && $0.isUntried == nil })
    }

    @Test func `where the hooks do not take the process for a pod's, nothing at all is tried`() throws {
        let (listener, port) = try Loopback.listener()
        defer { close(listener) }
        let report = ProbingProcess.report([
            SocketProbe(kind: .connect, address: "127.0.0.1", port: port),
            SocketProbe(kind: .connect, address: "127.0.0.1", port: 80, agents: ["127.0.0.1:988"]),
        ])
        #expect(report.problem?.hasPrefix("127.0.0.1: the hooks do not take this process for a pod's") == true)
        #expect(report.results == [])
        #expect(accept(listener, nil, nil) < 0 && errno == EAGAIN)
    }
}
