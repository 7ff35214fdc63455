import BPF
import Foundation
import Glibc
import Logging
import NIOPosix
import Synchronization
import Testing

@testable import Restart

/// An agent without a kernel: its endpoint, its lock, and what its kernel side is told.
private struct RunningAgent {
    let kernel = Kernel()
    let pins: PinDirectory
    let lock: PinLock
    let endpoint: HandoverEndpoint

    final class Kernel: Yielding {
        let (events, event) = AsyncStream.makeStream(of: String.self)
        let ending = Atomic(false)

        func yield() { event.yield("yield") }
        func resume() { event.yield("resume") }
        var hasEnded: Bool { ending.load(ordering: .sequentiallyConsistent) }
    }

    init(in directory: String, credentials: [UInt8]) throws {
        let pins = PinDirectory(path: directory + "/pins")
        try FileManager.default.createDirectory(atPath: pins.path, withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(atPath: pins.path + "/lock", withDestinationPath: "podidentd")
        let lock = try #require(PinLock(existing: pins))
        let isHeld = try lock.tryAcquire()
        try #require(isHeld)
        (self.pins, self.lock) = (pins, lock)
        endpoint = HandoverEndpoint(
            adminSocket: directory + "/admin.sock", kernel: kernel, lock: lock, supervisor: nil,
            credentials: { credentials }, eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    /// The right of another process, which meets this agent's.
    func otherLock() throws -> PinLock { try #require(PinLock(existing: pins)) }

    /// The next thing that the kernel's side is told.
    func next() async -> String? {
        for await event in kernel.events { return event }
        return nil
    }

    /// A successor that has the agent's sockets.
    func successor(_ lock: PinLock) async throws -> Predecessor {
        let found = try await Succession.predecessor(lock, pins: pins.path, at: endpoint.path)
        return try #require(found)
    }
}

/// Offers one socket for as long as `body` runs.
private func withAgent(
    credentials: [UInt8] = [], _ body: (RunningAgent) async throws -> Void
) async throws {
    // /proc/locks does not name the holder of a lock on every file system.
    try #require(
        FileManager.default.fileExists(atPath: "/dev/shm"),
        "this test needs a tmpfs at /dev/shm, where /proc/locks names the holder of a lock")
    let directory = "/dev/shm/handover-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let agent = try RunningAgent(in: directory, credentials: credentials)
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    try await agent.endpoint.start(offering: [listener])
    do {
        try await body(agent)
    } catch {
        await agent.endpoint.stop()
        throw error
    }
    await agent.endpoint.stop()
}

private func discard(_ listeners: [CInt]) {
    for descriptor in listeners { close(descriptor) }
}

/// Both sides of a hand-over in one process. Either wants root at its other end.
@Suite(.timeLimit(.minutes(5)), .enabled(if: geteuid() == 0, "needs root")) struct HandoverEndpointTests {
    @Test func `a successor gets the sockets and then the lock; the agent ends once that one serves`() async throws {
        try await withAgent { agent in
            let lock = try agent.otherLock()
            let predecessor = try await agent.successor(lock)
            defer { discard(predecessor.listeners) }
            #expect(predecessor.processID == getpid() && predecessor.listeners.count == 1)
            try await Succession.replace(predecessor, lock)
            #expect(await agent.next() == "yield")
            #expect(!agent.endpoint.isTaken)
            let isStillTheAgents = try agent.lock.tryAcquire()
            #expect(!isStillTheAgents)
            try await predecessor.confirm()
            await agent.endpoint.waitUntilTaken()
            #expect(agent.endpoint.isTaken && !agent.endpoint.begin())
        }
    }

    /// Takes everything, and ends before it serves.
    private func takeAndEnd(_ agent: RunningAgent, _ lock: PinLock) async throws {
        let predecessor = try await agent.successor(lock)
        discard(predecessor.listeners)
        try await Succession.replace(predecessor, lock)
        lock.release()
    }

    @Test func `what a successor took that never served is taken back, and the next one is met`() async throws {
        try await withAgent { agent in
            let lock = try agent.otherLock()
            try await takeAndEnd(agent, lock)
            #expect(await agent.next() == "yield")
            #expect(await agent.next() == "resume")
            let isFree = try lock.tryAcquire()
            #expect(!isFree && !agent.endpoint.isTaken)
            try await takeAndEnd(agent, lock)
            #expect(await agent.next() == "yield")
        }
    }

    @Test func `a successor that fails with the lock in its hands gives it back when it ends, and the agent takes it`()
        async throws
    {
        try await withAgent { agent in
            let lock = try agent.otherLock()
            do {
                let predecessor = try await agent.successor(lock)
                discard(predecessor.listeners)
                try await Succession.replace(predecessor, lock)
            }
            #expect(await agent.next() == "yield")
            #expect(await agent.next() == "resume")
            #expect(agent.endpoint.lacksLock && !agent.endpoint.regainLock())
            lock.release()
            #expect(agent.endpoint.regainLock() && !agent.endpoint.lacksLock)
            #expect(!agent.endpoint.regainLock())
            let isFree = try lock.tryAcquire()
            #expect(!isFree)
        }
    }

    @Test func `an agent that ends takes nothing back, and leaves the lock to the next one`() async throws {
        try await withAgent { agent in
            let lock = try agent.otherLock()
            agent.kernel.ending.store(true, ordering: .sequentiallyConsistent)
            try await takeAndEnd(agent, lock)
            #expect(await agent.next() == "yield")
            #expect(await agent.next() == "resume")
            while try !lock.tryAcquire() {
                try Task.checkCancellation()
                await Task.yield()
            }
        }
    }

    @Test func `two successors at once: the second is refused, and the first goes on undisturbed`() async throws {
        try await withAgent { agent in
            let (first, second) = (try agent.otherLock(), try agent.otherLock())
            let predecessor = try await agent.successor(first)
            defer { discard(predecessor.listeners) }
            let refusal = await #expect(throws: HandoverError.self) {
                _ = try await Predecessor.meet(at: agent.endpoint.path, lock: second)
            }
            #expect(refusal?.description.contains("another hand-over may be in progress") == true)
            try await Succession.replace(predecessor, first)
            // And nothing was taken back before.
            #expect(await agent.next() == "yield")
            try await predecessor.confirm()
            await agent.endpoint.waitUntilTaken()
        }
    }

    @Test func `a peer that does not see the pin directory gets neither sockets nor credentials`() async throws {
        try await withAgent(credentials: [1, 2, 3]) { agent in
            try await withAgent { stranger in
                let lock = try stranger.otherLock()
                await #expect(throws: HandoverError.self) {
                    _ = try await Predecessor.meet(at: agent.endpoint.path, lock: lock)
                }
                #expect(await Predecessor.credentials(at: agent.endpoint.path, lock: lock) == nil)
            }
            #expect(agent.endpoint.begin())
            agent.endpoint.end()
        }
    }

    @Test func `credentials come from the holder of the lock alone, whole`() async throws {
        let held = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        try await withAgent(credentials: held) { agent in
            let lock = try agent.otherLock()
            try #require(lock.holder == getpid(), "/proc/locks does not name the holder of a lock in /dev/shm")
            #expect(await Predecessor.credentials(at: agent.endpoint.path, lock: lock) == held)
            agent.lock.release()
            #expect(await Predecessor.credentials(at: agent.endpoint.path, lock: lock) == nil)
        }
    }
}

/// A successor, and the end of its connection.
@Suite(.timeLimit(.minutes(5))) struct PredecessorTests {
    /// The agent that runs, and its own end of the connection.
    private static func meet() throws -> (predecessor: Predecessor, agent: CInt) {
        var pair: [CInt] = [-1, -1]
        try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let predecessor = Predecessor(
            processID: getpid(), abi: PinDirectory.abiVersion, listeners: [], socket: pair[0])
        return (predecessor, pair[1])
    }

    @Test func `an agent waits for its successor until it ends the connection`() throws {
        let (predecessor, agent) = try Self.meet()
        #expect(predecessor.isWaiting)
        close(agent)
        #expect(!predecessor.isWaiting)
    }

    @Test(arguments: [true, false])
    func `an agent goes once it has read that its successor serves; one that ended before has taken everything back`(
        isRead: Bool
    ) async throws {
        let (predecessor, agent) = try Self.meet()
        Thread.detachNewThread {
            var polled = pollfd(fd: agent, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&polled, 1, -1)
            if isRead { _ = SocketControl.receive(HandoverMessage.length, from: agent) }
            close(agent)
        }
        if isRead {
            try await predecessor.confirm()
        } else {
            let failure = await #expect(throws: HandoverError.self) { try await predecessor.confirm() }
            #expect(failure?.description.contains("has taken everything back") == true)
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct HandoverPlaceTests {
    @Test func `the endpoint is beside the admin socket`() {
        #expect(HandoverEndpoint.path(beside: "/run/podidentd/admin.sock") == "/run/podidentd/handover.sock")
    }

    @Test func `one session at a time, and none after the end`() async throws {
        try await withAgent { agent in
            let endpoint = agent.endpoint
            #expect(endpoint.isListening && endpoint.begin() && !endpoint.begin())
            endpoint.end()
            #expect(endpoint.begin())
            endpoint.end()
            #expect(Predecessor.answers(at: endpoint.path))
            await endpoint.stop()
            #expect(!endpoint.begin() && !Predecessor.answers(at: endpoint.path))
            // A part that is not to listen lacks nothing.
            #expect(endpoint.isListening)
        }
    }

    @Test func `an endpoint that was stopped makes no socket again`() async throws {
        try await withAgent { agent in
            await agent.endpoint.stop()
            try await agent.endpoint.listen()
            #expect(agent.endpoint.isListening && !FileManager.default.fileExists(atPath: agent.endpoint.path))
        }
    }

    @Test func `where no agent answers, the path is named`() async throws {
        let directory = FileManager.default.temporaryDirectory.path
        let lock = try #require(PinLock(existing: PinDirectory(path: directory)))
        for (path, words) in [
            (directory + "/no-agent.sock", "no agent answers at \(directory)/no-agent.sock: errno \(ENOENT)"),
            ("/" + String(repeating: "a", count: 107), "the path /aaa"),
        ] {
            let error = await #expect(throws: HandoverError.self) {
                _ = try await Predecessor.meet(at: path, lock: lock)
            }
            #expect(error?.description.hasPrefix(words) == true)
        }
    }
}
