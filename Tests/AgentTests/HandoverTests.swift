import Attribution
import BPF
import Foundation
import Glibc
import Linux
import Testing
import Tokens

@testable import Enforcement
@testable import Restart
@testable import Settings

@Suite struct HandoverMessageTests {
    @Test func `a message is sixteen bytes, and reads back as it was`() throws {
        let message = HandoverMessage(.offer, abi: 0x0102, processID: 0x0304_0506, descriptors: 2)
        #expect(
            message.bytes == [
                0x6e, 0x69, 0x64, 0x68, 1, 2, 1, 2, 3, 4, 5, 6, 0, 0, 0, 2,
            ])
        #expect(try HandoverMessage(parsing: message.bytes) == message)
    }

    struct Wrong: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        var words: String
    }

    @Test(arguments: [
        Wrong(testDescription: "short", bytes: [0x6e, 0x69, 0x64, 0x68], words: "no message"),
        Wrong(testDescription: "HTTP", bytes: [UInt8]("GET / HTTP/1.1\r\n".utf8), words: "no message"),
        Wrong(
            testDescription: "newer", bytes: [UInt8]("nidh".utf8) + [2, 1] + [UInt8](repeating: 0, count: 10),
            words: "version 2"),
        Wrong(
            testDescription: "unknown kind", bytes: [UInt8]("nidh".utf8) + [1, 7] + [UInt8](repeating: 0, count: 10),
            words: "kind 7"),
    ])
    func `what is no message is refused in words`(_ wrong: Wrong) {
        let error = #expect(throws: HandoverError.self) { try HandoverMessage(parsing: wrong.bytes) }
        #expect(error?.description.contains(wrong.words) == true)
    }
}

@Suite struct HandoverSessionTests {
    @Test func `a hand-over goes step by step`() {
        var session = HandoverSession()
        #expect(session.received(.hello) == .offer)
        #expect(session.received(.take) == .yield)
        #expect(session.yielded() == .sayYours)
        #expect(session.received(.serving) == .finish)
        #expect(session.connectionEnded() == .none)
    }

    @Test(arguments: [HandoverMessage.Kind.offer, .take, .yours, .serving])
    func `nothing is given before the hello`(_ kind: HandoverMessage.Kind) {
        var session = HandoverSession()
        #expect(session.received(kind) == .close)
    }

    @Test func `credentials are asked for on a connection of their own, once`() {
        var session = HandoverSession()
        #expect(session.received(.credentials) == .sendCredentials)
        #expect(session.received(.hello) == .none)
        #expect(session.connectionEnded() == .none)
        var other = HandoverSession()
        _ = other.received(.hello)
        #expect(other.received(.credentials) == .close)
    }

    @Test func `a successor that goes before it serves gives back what it got, its hooks included`() {
        var stranger = HandoverSession()
        #expect(stranger.connectionEnded() == .none)

        // A successor has attached its programs by now, or will have.
        var early = HandoverSession()
        _ = early.received(.hello)
        #expect(early.connectionEnded() == .resume)
        #expect(early.connectionEnded() == .none)

        // Another one is at it: what that one has is not taken back.
        var second = HandoverSession()
        _ = second.received(.hello)
        second.refused()
        #expect(second.connectionEnded() == .none)

        var during = HandoverSession()
        _ = during.received(.hello)
        _ = during.received(.take)
        #expect(during.connectionEnded() == .none)
        #expect(during.yielded() == .resume)

        var late = HandoverSession()
        _ = late.received(.hello)
        _ = late.received(.take)
        _ = late.yielded()
        #expect(late.connectionEnded() == .resume)
    }

    @Test func `a successor cannot claim to serve what it has not been given`() {
        var session = HandoverSession()
        _ = session.received(.hello)
        #expect(session.received(.serving) == .close)
        _ = session.received(.take)
        #expect(session.received(.serving) == .close)
    }
}

@Suite struct SocketControlTests {
    private static func pair() throws -> (CInt, CInt) {
        var pair: [CInt] = [0, 0]
        try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0)
        return (pair[0], pair[1])
    }

    private static func isSame(_ one: CInt, _ other: CInt) -> Bool {
        var (first, second) = (stat(), stat())
        return unsafe fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_ino == second.st_ino
            && first.st_dev == second.st_dev
    }

    @Test(arguments: [1, 2, 3, SocketControl.descriptorsMax])
    func `descriptors arrive with the bytes, in order, and close on exec`(_ count: Int) throws {
        let (one, other) = try Self.pair()
        let sent = try (0..<count).map { _ in try Self.pair() }
        defer { for descriptor in [one, other] + sent.flatMap({ [$0.0, $0.1] }) { close(descriptor) } }
        #expect(SocketControl.send([1, 2, 3], descriptors: sent.map(\.0), over: one))
        let received = try #require(SocketControl.receive(16, from: other))
        #expect(received.bytes == [1, 2, 3])
        #expect(received.descriptors.count == count)
        for (descriptor, original) in zip(received.descriptors, sent.map(\.0)) {
            #expect(descriptor != original && Self.isSame(descriptor, original))
            #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
            close(descriptor)
        }
    }

    @Test func `more descriptors than expected are none, and none stays open`() throws {
        let (one, other) = try Self.pair()
        let count = SocketControl.descriptorsMax + 3
        let sent = try (0..<count).map { _ in try Self.pair() }
        defer { for descriptor in [one, other] + sent.flatMap({ [$0.0, $0.1] }) { close(descriptor) } }
        #expect(SocketControl.send([1], descriptors: sent.map(\.0), over: one))
        #expect(SocketControl.receive(16, from: other) == nil)
        // The other end notices when the last copy is closed.
        for (near, far) in sent {
            shutdown(far, CInt(SHUT_WR))
            var byte: UInt8 = 0
            #expect(unsafe recv(near, &byte, 1, 0) == 0)
        }
    }

    @Test(arguments: [0, 1, 4_096, 3_000_000])
    func `a frame arrives whole, whatever its length`(_ length: Int) async throws {
        let (one, other) = try Self.pair()
        defer { for descriptor in [one, other] { close(descriptor) } }
        let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        async let isSent = onThread { SocketControl.sendFrame(bytes, over: one, withinSeconds: 60) }
        let received = SocketControl.receiveFrame(atMost: length, from: other, withinSeconds: 60)
        #expect(received == bytes)
        #expect(await isSent)
    }

    @Test func `a frame that is cut, too long or endless is none`() throws {
        let hostile: [[UInt8]] = [
            [0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3], [0, 0, 0, 0, 0, 0, 1, 1] + [UInt8](repeating: 0, count: 257),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ]
        for bytes in hostile {
            let (one, other) = try Self.pair()
            #expect(SocketControl.send(bytes, descriptors: [], over: one))
            close(one)
            #expect(SocketControl.receiveFrame(atMost: 256, from: other, withinSeconds: 60) == nil)
            close(other)
        }
    }

    @Test func `what was wiped is gone`() {
        var bytes: [UInt8] = [1, 2, 3]
        SocketControl.wipe(&bytes)
        #expect(bytes.isEmpty)
    }

    /// Runs what may wait for the other end.
    private func onThread(_ body: @escaping @Sendable () -> Bool) async -> Bool {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: body()) }
        }
    }

    @Test func `the end of the stream is nil, and the peer is this process`() throws {
        let (one, other) = try Self.pair()
        let peer = PeerCredentials(of: one)
        #expect(peer?.processID == getpid() && peer?.userID == geteuid())
        close(one)
        #expect(SocketControl.receive(16, from: other) == nil)
        close(other)
    }
}

@Suite struct ListenerAdoptionTests {
    private static let loopback = AgentConfiguration.Address(text: "127.0.0.1", value: .ipv4(0x7f00_0001))
    private static let loopback6 = AgentConfiguration.Address(text: "::1", value: .ipv6(0, 1))

    private static func listening(_ address: AgentConfiguration.Address) throws -> CInt {
        let descriptor = try ListeningSocket.open(address, port: 0, key: "test", portKey: "test")
        try ListeningSocket.listen(descriptor, address, 0)
        return descriptor
    }

    @Test func `a listener is recognised by family, address and port`() throws {
        let four = try Self.listening(Self.loopback)
        let six = try Self.listening(Self.loopback6)
        defer { for descriptor in [four, six] { close(descriptor) } }
        let (port4, port6) = (Loopback.port(of: four), Loopback.port(of: six))
        #expect(ListeningSocket.listens(four, on: Self.loopback, port: port4))
        #expect(ListeningSocket.listens(six, on: Self.loopback6, port: port6))
        #expect(!ListeningSocket.listens(four, on: Self.loopback, port: port4 ^ 1))
        #expect(!ListeningSocket.listens(four, on: Self.loopback6, port: port4))
        #expect(!ListeningSocket.listens(six, on: Self.loopback, port: port6))
        let elsewhere = AgentConfiguration.Address(text: "127.0.0.2", value: .ipv4(0x7f00_0002))
        #expect(!ListeningSocket.listens(four, on: elsewhere, port: port4))
        // Bound, but not listening.
        let idle = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(idle) }
        #expect(!ListeningSocket.listens(idle, on: Self.loopback, port: 0))
    }

    @Test func `what fits is taken once, what is left over is closed`() throws {
        let four = try Self.listening(Self.loopback)
        let stranger = try Self.listening(Self.loopback)
        let (port, strangersPort) = (Loopback.port(of: four), Loopback.port(of: stranger))
        let offered = OfferedSockets([stranger, four])
        #expect(offered.take(Self.loopback6, port: port) == nil)
        #expect(offered.take(Self.loopback, port: port) == four)
        #expect(offered.take(Self.loopback, port: port) == nil)
        offered.closeRest()
        #expect(!ListeningSocket.listens(stranger, on: Self.loopback, port: strangersPort))
        close(four)
    }

    @Test func `kept sockets are those of one loopback port, or none`() throws {
        let four = try Self.listening(Self.loopback)
        let port = Loopback.port(of: four)
        let six = try ListeningSocket.open(Self.loopback6, port: port, key: "test", portKey: "test")
        defer { for descriptor in [four, six] { close(descriptor) } }
        try ListeningSocket.listen(six, Self.loopback6, port)
        let listener = NamespaceListener(port: port, hasIPv4: true, hasIPv6: true, state: .open)
        #expect(LoopbackSockets([four, six], expected: listener)?.opened.families == .both)
        #expect(LoopbackSockets([six], expected: listener)?.opened.families == .ipv6)
        #expect(LoopbackSockets([], expected: listener) == nil)
        #expect(LoopbackSockets([four, four], expected: listener) == nil)
        let other = NamespaceListener(port: port ^ 1, hasIPv4: true, hasIPv6: true, state: .open)
        #expect(LoopbackSockets([four], expected: other) == nil)
    }

    @Test func `a port that another process holds is tried at intervals that grow to thirty seconds`() {
        let pauses = (1...12).map(MetricsPort.backoff.pause)
        #expect(pauses.first == .milliseconds(250) && pauses[1] == .milliseconds(500))
        #expect(pauses.last == .seconds(30))
        #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $0 <= $1 })
    }

    @Test func `messages between the supervisor and the agent are sixteen bytes with a known beginning`() {
        let message = SupervisorMessage(.start, first: 3, second: 9)
        #expect(message.bytes == [UInt8]("nids".utf8) + [2, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9])
        #expect(SupervisorMessage(parsing: message.bytes) == message)
        let group = SupervisorMessage(.keep, key: 0x1_0000_0002)
        #expect(group.first == 1 && group.second == 2 && group.key == 0x1_0000_0002)
        #expect(SupervisorMessage(parsing: Array(message.bytes.dropLast())) == nil)
        #expect(SupervisorMessage(parsing: [UInt8]("nidh".utf8) + message.bytes.dropFirst(4)) == nil)
        #expect(SupervisorMessage(parsing: [UInt8]("nids".utf8) + [1] + message.bytes.dropFirst(5)) == nil)
    }
}
