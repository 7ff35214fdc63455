import Glibc
import Testing

@testable import Restart

/// Messages that wait for the supervisor, in front of a socket that does as it is told.
@Suite struct SupervisorBacklogTests {
    private struct Supervisor {
        var answer = SocketControl.Sending.sent
        /// Messages that were taken: kind, key, number of descriptors.
        var taken: [String] = []
        var attempts = 0

        mutating func take(_ message: SupervisorMessage, _ descriptors: [CInt]) -> SocketControl.Sending {
            attempts += 1
            if answer == .sent { taken.append("\(message.kind) \(message.key) \(descriptors.count)") }
            return answer
        }
    }

    /// A socket whose far end tells when the last copy of the near one is closed.
    private struct Witness {
        let near: CInt
        let far: CInt

        init() throws {
            var pair: [CInt] = [0, 0]
            let type = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            let result = unsafe socketpair(AF_UNIX, type, 0, &pair)
            try #require(result == 0)
            (near, far) = (pair[0], pair[1])
        }

        var isHeld: Bool {
            var byte: UInt8 = 0
            return unsafe recv(far, &byte, 1, CInt(MSG_DONTWAIT)) < 0 && errno == EAGAIN
        }
    }

    @Test func `what waits goes out in order, the last word on each group alone`() throws {
        let witness = try Witness()
        defer { close(witness.far) }
        var supervisor = Supervisor(answer: .full)
        var backlog = SupervisorBacklog(known: [7])
        backlog.send(SupervisorMessage(.keep, key: 1), [witness.near]) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.keep, key: 2), [witness.near]) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.serving), []) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.drop, key: 7), []) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.keep, key: 1), [witness.near, witness.near]) { supervisor.take($0, $1) }
        // The supervisor has never had it, and never will.
        backlog.send(SupervisorMessage(.drop, key: 2), []) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.serving), []) { supervisor.take($0, $1) }
        close(witness.near)
        #expect(backlog.isBehind && supervisor.taken == [])
        #expect(witness.isHeld)

        supervisor.answer = .sent
        backlog.flush { supervisor.take($0, $1) }
        #expect(supervisor.taken == ["drop 7 0", "keep 1 2", "serving 0 0"])
        #expect(!backlog.isBehind && !backlog.isGone && !backlog.hasLost)
        #expect(!witness.isHeld)
        backlog.send(SupervisorMessage(.drop, key: 7), []) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.drop, key: 1), []) { supervisor.take($0, $1) }
        #expect(supervisor.taken.suffix(1) == ["drop 1 0"] && supervisor.taken.count == 4)
    }

    @Test func `the end of all groups takes back all that waits but that the agent serves`() throws {
        let witness = try Witness()
        defer { close(witness.far) }
        var supervisor = Supervisor(answer: .full)
        var backlog = SupervisorBacklog(known: [1, 2])
        backlog.send(SupervisorMessage(.keep, key: 1), [witness.near]) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.serving), []) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.drop, key: 2), []) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.forget), []) { supervisor.take($0, $1) }
        close(witness.near)
        #expect(!witness.isHeld)
        supervisor.answer = .sent
        backlog.flush { supervisor.take($0, $1) }
        #expect(supervisor.taken == ["serving 0 0", "forget 0 0"])
        // The key has no group any more.
        backlog.send(SupervisorMessage(.drop, key: 2), []) { supervisor.take($0, $1) }
        #expect(supervisor.taken.count == 2)
    }

    @Test func `a supervisor that is gone gets nothing more, and nothing is kept for it`() throws {
        let witness = try Witness()
        defer { close(witness.far) }
        var supervisor = Supervisor(answer: .full)
        var backlog = SupervisorBacklog(known: [])
        for key in UInt64(1)...3 {
            backlog.send(SupervisorMessage(.keep, key: key), [witness.near]) { supervisor.take($0, $1) }
        }
        close(witness.near)
        supervisor.answer = .gone
        backlog.flush { supervisor.take($0, $1) }
        #expect(backlog.isGone && !backlog.isBehind)
        #expect(!witness.isHeld)
        let attempts = supervisor.attempts
        backlog.send(SupervisorMessage(.serving), []) { supervisor.take($0, $1) }
        backlog.flush { supervisor.take($0, $1) }
        #expect(supervisor.attempts == attempts)
    }

    @Test func `a message that cannot be sent is lost alone, and the loss is not forgotten`() throws {
        let witness = try Witness()
        defer { for descriptor in [witness.near, witness.far] { close(descriptor) } }
        var supervisor = Supervisor(answer: .full)
        var backlog = SupervisorBacklog(known: [])
        backlog.send(SupervisorMessage(.keep, key: 1), [witness.near]) { supervisor.take($0, $1) }
        backlog.send(SupervisorMessage(.serving), []) { supervisor.take($0, $1) }
        backlog.flush { message, descriptors in
            message.kind == .keep ? .failed(EBADF) : supervisor.take(message, descriptors)
        }
        #expect(backlog.hasLost && backlog.isBehind)
        supervisor.answer = .sent
        backlog.flush { supervisor.take($0, $1) }
        #expect(backlog.hasLost && !backlog.isBehind && supervisor.taken == ["serving 0 0"])
    }

    @Test func `without a descriptor for a copy the message is lost, and the copies that were made are closed`() throws
    {
        let witness = try Witness()
        defer { close(witness.far) }
        var supervisor = Supervisor(answer: .full)
        var backlog = SupervisorBacklog(known: [])
        backlog.send(SupervisorMessage(.keep, key: 1), [witness.near, -1]) { supervisor.take($0, $1) }
        close(witness.near)
        #expect(backlog.hasLost && !backlog.isBehind)
        #expect(!witness.isHeld)
    }

    @Test func `how an agent ended is told as wait(2) has it`() {
        for (status, words) in [
            (0, "status 0"), (1 << 8, "status 1"), (255 << 8, "status 255"), (9, "signal 9"), (11 | 0x80, "signal 11"),
        ] {
            #expect(SupervisorLink.History(restarts: 1, lastStatus: status).ending == words)
        }
    }
}
