import Attribution
package import BPF
import Dispatch
import Glibc
package import Logging
package import NIOCore
import NIOPosix
package import Operations
import Settings
import Synchronization

/// The place where a running agent hands over to its successor: a Unix socket beside the admin socket, for a process of
/// root's that proves that it sees the pin directory. One hand-over at a time.
///
/// The successor gets the socket of `metrics.port`. In the pods' network namespaces it listens on other ports by then,
/// to which the kernel programs redirect once it takes over: this agent answers the connections to its own.
package final class HandoverEndpoint: Sendable {
    /// How long a successor may take from its first byte to its last. It comes when everything else is in place.
    static let sessionTime = TimeAmount.seconds(30)
    /// How long a peer may take from its connection to its hello, which a successor sends at once.
    private static let helloMilliseconds: CInt = 1000
    /// How long a successor may take to read the credentials.
    private static let credentialSeconds = 5
    /// Peers that have connected and sent no hello, at one moment: each has a thread that waits for it.
    private static let strangersMax = 4

    package let path: String
    private let kernel: any Yielding
    private let lock: PinLock
    private let supervisor: SupervisorLink?
    private let credentials: @Sendable () -> [UInt8]
    private let eventLoopGroup: any EventLoopGroup
    private let logger: Logger
    private let storage = Mutex(Storage())
    private let taken: AsyncStream<Void>
    private let takenSignal: AsyncStream<Void>.Continuation

    private struct Storage {
        var listener: UnixListener?
        /// Copies, kept open for as long as they may be passed on.
        var descriptors: [CInt] = []
        /// Whether a successor may come.
        var isOpen = false
        var isBusy = false
        var isTaken = false
        /// Whether a successor had the lock when it failed.
        var lacksLock = false
        var strangers = 0
    }

    /// `credentials` gives what the agent holds as the bytes that a successor reads. They are wiped after they were sent.
    package init(
        adminSocket: String, kernel: any Yielding, lock: PinLock, supervisor: SupervisorLink?,
        credentials: @escaping @Sendable () -> [UInt8] = { [] }, eventLoopGroup: any EventLoopGroup, logger: Logger
    ) {
        self.path = Self.path(beside: adminSocket)
        self.kernel = kernel
        self.lock = lock
        self.supervisor = supervisor
        self.credentials = credentials
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
        (self.taken, self.takenSignal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    package static func path(beside adminSocket: String) -> String {
        adminSocket[..<(adminSocket.lastIndex(of: "/") ?? adminSocket.startIndex)] + "/"
            + ConfigurationKey.handoverSocketName
    }

    /// Whether a successor accepts what this agent accepted before.
    package var isTaken: Bool { storage.withLock { $0.isTaken } }

    /// Offers copies of `listeners`, which stay the caller's, to a successor, and to the agent that the supervisor
    /// starts when this one has ended.
    package func start(offering listeners: [CInt]) async throws {
        storage.withLock { $0.isOpen = true }
        listeners.forEach(add)
        supervisor?.serves()
        try await listen()
    }

    /// Offers a copy of one more listening socket, which stays the caller's.
    package func add(_ listener: CInt) {
        let copy = fcntl(listener, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return }
        let isAdded = storage.withLock { storage in
            guard !storage.isTaken else { return false }
            storage.descriptors.append(copy)
            supervisor?.keep(SupervisorLink.Group(key: SupervisorLink.plain, descriptors: storage.descriptors))
            return true
        }
        if !isAdded { close(copy) }
    }

    /// Whether a successor can find it, or is not to.
    package var isListening: Bool { storage.withLock { $0.listener != nil || !$0.isOpen } }

    /// Makes the socket, or makes it again. After ``stop()`` there is none.
    package func listen() async throws(AdminServerError) {
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            // NIO would read the hello without the descriptor that comes with it.
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(HandoverHandler(endpoint: self))
                }
            }
        let listener = try await UnixListener.open(at: path, bootstrap)
        let isKept = storage.withLock { storage in
            if storage.isOpen { storage.listener = listener }
            return storage.isOpen
        }
        if !isKept { await listener.close() }
    }

    /// Waits until a successor has taken over, or until the task is cancelled.
    package func waitUntilTaken() async {
        for await _ in taken { return }
    }

    /// Ends the offer.
    package func stop() async {
        let (listener, descriptors) = storage.withLock { storage in
            defer { (storage.listener, storage.descriptors, storage.isOpen) = (nil, [], false) }
            return (storage.listener, storage.descriptors)
        }
        await listener?.close()
        for descriptor in descriptors { close(descriptor) }
    }
}

// MARK: - What a session needs

extension HandoverEndpoint {
    /// Waits for a peer's hello and its proof.
    ///
    /// - Parameter socket: A copy of the connection's, which is closed here.
    /// - Returns: The hello of a peer that sees the pin directory.
    /// - Throws: Why it is none.
    func hello(over socket: CInt) async throws -> HandoverMessage {
        defer { close(socket) }
        let isOneTooMany = storage.withLock { storage in
            guard storage.strangers < Self.strangersMax else { return true }
            storage.strangers += 1
            return false
        }
        guard !isOneTooMany else { throw HandoverError("\(Self.strangersMax) peers have connected and said nothing") }
        defer { storage.withLock { $0.strangers -= 1 } }
        let received = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(
                    returning: SocketControl.receive(
                        HandoverMessage.length, from: socket, withinMilliseconds: Self.helloMilliseconds))
            }
        }
        guard let received else { throw HandoverError("the peer sent no hello") }
        defer { for descriptor in received.descriptors { close(descriptor) } }
        let message = try HandoverMessage(parsing: received.bytes)
        guard received.descriptors.count == 1, isProven(message, by: received.descriptors[0]) else {
            throw HandoverError("the peer does not prove that it sees the pin directory")
        }
        return message
    }

    private func isProven(_ message: HandoverMessage, by descriptor: CInt) -> Bool {
        if case .credentials = message.kind { return lock.isDirectoryProven(by: descriptor) }
        return lock.isProven(by: descriptor)
    }

    /// Whether no other session is open; then this one is, until ``end()``.
    package func begin() -> Bool {
        storage.withLock { storage in
            guard !storage.isBusy, !storage.isTaken, storage.isOpen else { return false }
            storage.isBusy = true
            return true
        }
    }

    package func end() {
        storage.withLock { $0.isBusy = false }
    }

    func sendOffer(over socket: CInt) -> Bool {
        // Under the lock: the stop of the endpoint closes the descriptors.
        storage.withLock { storage in
            let offer = HandoverMessage(
                .offer, abi: PinDirectory.abiVersion, processID: UInt32(getpid()),
                descriptors: UInt32(storage.descriptors.count))
            return SocketControl.send(offer.bytes, descriptors: storage.descriptors, over: socket)
        }
    }

    /// Sends what the agent holds to a proven peer, and closes `socket`, which is a copy of the connection's.
    func sendCredentials(over socket: CInt) {
        defer { close(socket) }
        guard storage.withLock({ $0.isOpen && !$0.isTaken }) else { return }
        var bytes = credentials()
        defer { SocketControl.wipe(&bytes) }
        let isSent = SocketControl.sendFrame(bytes, over: socket, withinSeconds: Self.credentialSeconds)
        logger.info(
            "credentials handed to a successor", metadata: ["bytes": "\(bytes.count)", "complete": "\(isSent)"])
    }

    func yield() {
        kernel.yield()
        storage.withLock { $0.lacksLock = false }
        lock.release()
    }

    func resume() {
        // An agent that ends takes nothing back.
        guard storage.withLock({ $0.isOpen && !$0.isTaken }) else { return }
        // The successor may have it until its process ends, and write until it finds out that its time is over.
        let isLocked = (try? lock.tryAcquire()) ?? false
        storage.withLock { $0.lacksLock = !isLocked }
        kernel.resume()
        // The agent's end may have come meanwhile, and have freed the lock before this took it.
        guard storage.withLock({ $0.isOpen }), !kernel.hasEnded else { return lock.release() }
        logger.warning(
            "the successor ended before it accepted connections; this agent goes on", metadata: ["lock": "\(isLocked)"])
    }

    /// Whether this agent goes on without the lock, which a successor had when it failed.
    package var lacksLock: Bool { storage.withLock { $0.lacksLock } }

    /// Takes the lock once that successor has ended. Call it between ``begin()`` and ``end()``.
    ///
    /// - Returns: Whether it is this agent's again: what the successor has written is to be taken back once more.
    package func regainLock() -> Bool {
        guard lacksLock, (try? lock.tryAcquire()) == true else { return false }
        storage.withLock { $0.lacksLock = false }
        return true
    }

    func finish(_ successor: UInt32) {
        storage.withLock { $0.isTaken = true }
        supervisor?.forget()
        logger.info("handed over to a successor", metadata: ["successor": "\(successor)"])
        takenSignal.yield()
        takenSignal.finish()
    }

    func refused(_ reason: String) {
        logger.warning("hand-over refused", metadata: ["reason": "\(reason)"])
    }
}
