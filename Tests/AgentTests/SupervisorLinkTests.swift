import Glibc
import Testing

@testable import Restart

/// The agent's end of the socket to `podidentd-init`, with this test at the other.
@Suite struct SupervisorLinkTests {
    /// A message as the supervisor gets it.
    private struct Received: Equatable {
        var kind: SupervisorMessage.Kind
        var key: UInt64
        var descriptors: Int
    }

    private static func pair() throws -> (agent: CInt, supervisor: CInt) {
        var pair: [CInt] = [0, 0]
        try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue), 0, &pair) == 0)
        return (pair[0], pair[1])
    }

    /// Everything that has arrived by now.
    private static func receiveAll(_ socket: CInt) throws -> [Received] {
        var all: [Received] = []
        while let received = SocketControl.receive(SupervisorMessage.length, from: socket, withinMilliseconds: 0) {
            for descriptor in received.descriptors { close(descriptor) }
            let message = try #require(SupervisorMessage(parsing: received.bytes))
            all.append(Received(kind: message.kind, key: message.key, descriptors: received.descriptors.count))
        }
        return all
    }

    @Test func `what a stopped supervisor does not read arrives later, the last word on each group`() throws {
        let (agent, supervisor) = try Self.pair()
        defer { close(supervisor) }
        let link = SupervisorLink(socket: agent)
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var key: UInt64 = 0
        while link.retry() == .current, key < 100_000 {
            key += 1
            link.keep(SupervisorLink.Group(key: key, descriptors: [listener]))
        }
        #expect(link.retry() == .behind)
        // The supervisor has never had this group: nothing is left to be said about it.
        link.drop(key)
        #expect(link.retry() == .current)
        link.keep(SupervisorLink.Group(key: key, descriptors: [listener]))
        link.drop(1)
        link.keep(SupervisorLink.Group(key: 2, descriptors: [listener]))
        link.keep(SupervisorLink.Group(key: 2, descriptors: [listener, listener]))
        // The number of this group is that of every message without one.
        link.keep(SupervisorLink.Group(key: SupervisorLink.plain, descriptors: [listener]))
        link.serves()
        close(listener)
        #expect(link.retry() == .behind)

        let first = try Self.receiveAll(supervisor)
        #expect(first == (1..<key).map { Received(kind: .keep, key: $0, descriptors: 1) })
        #expect(link.retry() == .current)
        #expect(
            try Self.receiveAll(supervisor) == [
                Received(kind: .keep, key: key, descriptors: 1), Received(kind: .drop, key: 1, descriptors: 0),
                Received(kind: .keep, key: 2, descriptors: 2), Received(kind: .keep, key: 0, descriptors: 1),
                Received(kind: .serving, key: 0, descriptors: 0),
            ])
    }

    @Test func `after a hand-over nothing that waits is told but the end of all groups`() throws {
        let (agent, supervisor) = try Self.pair()
        defer { close(supervisor) }
        let link = SupervisorLink(socket: agent)
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var key: UInt64 = 0
        while link.retry() == .current, key < 100_000 {
            key += 1
            link.keep(SupervisorLink.Group(key: key, descriptors: [listener]))
        }
        link.drop(1)
        link.forget()
        _ = try Self.receiveAll(supervisor)
        #expect(link.retry() == .current)
        #expect(try Self.receiveAll(supervisor) == [Received(kind: .forget, key: 0, descriptors: 0)])
    }

    @Test
    func
        `a group that the supervisor has kept of an earlier agent can be dropped, one that it never had costs nothing`()
        throws
    {
        let (agent, supervisor) = try Self.pair()
        defer { close(supervisor) }
        let link = SupervisorLink(socket: agent, known: [7])
        link.drop(8)
        link.drop(7)
        link.drop(7)
        #expect(try Self.receiveAll(supervisor) == [Received(kind: .drop, key: 7, descriptors: 0)])
    }

    @Test func `a supervisor that has ended is noticed, and costs nothing more`() throws {
        let (agent, supervisor) = try Self.pair()
        let link = SupervisorLink(socket: agent)
        link.serves()
        #expect(link.retry() == .current)
        close(supervisor)
        link.serves()
        #expect(link.retry() == .gone)
        link.keep(SupervisorLink.Group(key: 1, descriptors: [agent]))
        #expect(link.retry() == .gone)
    }
}
