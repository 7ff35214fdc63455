package import BPF
import Glibc
import Linux
import NIOPosix
import Tokens

/// The agent that runs already, seen from the one that is to take its place.
package final class Predecessor: Sendable {
    /// The process ID for logs: 0 if it is in another PID namespace.
    package let processID: Int32
    let abi: UInt16
    /// Copies of its listening sockets. A caller that adopts some closes the others.
    package let listeners: [CInt]
    private let socket: CInt

    /// How long each answer may take: the predecessor's part is milliseconds of work.
    private static let answerSeconds = 5

    /// Owns `socket`.
    init(processID: Int32, abi: UInt16, listeners: [CInt], socket: CInt) {
        self.processID = processID
        self.abi = abi
        self.listeners = listeners
        self.socket = socket
    }

    deinit {
        close(socket)
    }

    /// Finds the agent behind `path` and gets its listening sockets, from which it goes on accepting.
    ///
    /// - Parameters:
    ///   - path: Where the running agent offers them.
    ///   - lock: The pin directory's, which proves to the running agent that this process sees the same one.
    /// - Throws: ``HandoverError`` if no agent answers, or if it refuses.
    /// - Returns: The running agent.
    static func meet(at path: String, lock: PinLock) async throws -> Predecessor {
        try await NIOThreadPool.singleton.runIfActive { try connect(to: path, lock) }
    }

    /// Whether an agent listens there. Blocks, if only for a moment.
    package static func answers(at path: String) -> Bool {
        guard let socket = try? open(path) else { return false }
        close(socket)
        return true
    }

    /// Has the predecessor stop accepting and free its lock.
    func take() async throws {
        try await NIOThreadPool.singleton.runIfActive {
            try self.send(.take)
            try self.receive(.yours)
        }
    }

    /// Asks the running agent for what it holds, on a connection of its own.
    ///
    /// - Parameters:
    ///   - path: Where the running agent offers its sockets.
    ///   - lock: The pin directory's, whose holder alone is asked and believed.
    /// - Returns: The bytes, which hold tokens: the caller wipes them. `nil` if the agent gives none, or not all of them in
    ///   time.
    package static func credentials(at path: String, lock: PinLock) async -> [UInt8]? {
        try? await NIOThreadPool.singleton.runIfActive { () throws(HandoverError) -> [UInt8]? in
            let socket = try open(path)
            defer { close(socket) }
            // Another than the holder of the lock could give tokens of its own, for pods to work with.
            guard let peer = PeerCredentials(of: socket), peer.userID == 0,
                let proof = lock.openDirectoryProof(forHolder: peer.processID)
            else { return nil }
            defer { close(proof) }
            let question = HandoverMessage(
                .credentials, abi: PinDirectory.abiVersion, processID: UInt32(getpid()), descriptors: 1)
            guard SocketControl.send(question.bytes, descriptors: [proof], over: socket) else { return nil }
            return SocketControl.receiveFrame(
                atMost: HeldCredentials.sizeLimit, from: socket, withinSeconds: answerSeconds)
        }
    }

    /// Whether the predecessor still waits for this process: it takes everything back once its patience is over.
    var isWaiting: Bool {
        var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, 0) == 0
    }

    /// Tells the predecessor that connections are being accepted again: it may go.
    ///
    /// - Throws: ``HandoverError``, also if the predecessor has taken everything back before it read that.
    package func confirm() async throws {
        try await NIOThreadPool.singleton.runIfActive {
            try self.send(.serving)
            try self.awaitEnd()
        }
    }

    /// Waits until the predecessor closes the connection, which it does at once. The kernel tells if it has left something unread.
    private func awaitEnd() throws(HandoverError) {
        var byte: UInt8 = 0
        var count = 0
        repeat { count = unsafe recv(socket, &byte, 1, 0) } while count < 0 && errno == EINTR
        guard count < 0, errno == ECONNRESET else { return }
        throw HandoverError(
            "the running agent has ended, or has taken everything back because the hand-over took too long")
    }

    private static func connect(to path: String, _ lock: PinLock) throws(HandoverError) -> Predecessor {
        let socket = try open(path)
        do throws(HandoverError) {
            // A socket that another user serves would decide who gets the pods' requests.
            guard let peer = PeerCredentials(of: socket), peer.userID == 0 else {
                throw HandoverError("the process that listens at \(path) is not root")
            }
            return try greet(over: socket, peer, lock)
        } catch {
            close(socket)
            throw error
        }
    }

    private static func open(_ path: String) throws(HandoverError) -> CInt {
        let socket = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw HandoverError("no socket: errno \(errno)") }
        do throws(HandoverError) {
            var limit = timeval(tv_sec: answerSeconds, tv_usec: 0)
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                unsafe setsockopt(socket, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
            }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let isTooLong = unsafe withUnsafeMutableBytes(of: &address.sun_path) { buffer in
                guard path.utf8.count < buffer.count else { return true }
                unsafe buffer.copyBytes(from: path.utf8)
                return false
            }
            guard !isTooLong else { throw HandoverError("the path \(path) is too long") }
            let connected = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    unsafe Glibc.connect(socket, pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            guard connected == 0 else { throw HandoverError("no agent answers at \(path): errno \(errno)") }
            return socket
        } catch {
            close(socket)
            throw error
        }
    }

    private static func greet(
        over socket: CInt, _ peer: PeerCredentials, _ lock: PinLock
    ) throws(HandoverError) -> Predecessor {
        let proof: CInt
        do throws(BPFError) {
            proof = try lock.openProof()
        } catch {
            throw HandoverError("this process cannot prove that it sees the pin directory: \(error)")
        }
        defer { close(proof) }
        let hello = HandoverMessage(.hello, abi: PinDirectory.abiVersion, processID: UInt32(getpid()), descriptors: 1)
        guard SocketControl.send(hello.bytes, descriptors: [proof], over: socket),
            let answer = SocketControl.receive(HandoverMessage.length, from: socket)
        else { throw HandoverError("it did not offer its sockets; another hand-over may be in progress") }
        do throws(HandoverError) {
            let offer = try HandoverMessage(parsing: answer.bytes)
            guard offer.kind == .offer, Int(offer.descriptors) == answer.descriptors.count
            else { throw HandoverError("its offer came without its sockets") }
            return Predecessor(
                processID: peer.processID, abi: offer.abi, listeners: answer.descriptors, socket: socket)
        } catch {
            for descriptor in answer.descriptors { close(descriptor) }
            throw error
        }
    }

    private func send(_ kind: HandoverMessage.Kind) throws(HandoverError) {
        let message = HandoverMessage(kind, abi: PinDirectory.abiVersion, processID: UInt32(getpid()))
        guard SocketControl.send(message.bytes, descriptors: [], over: socket) else {
            throw HandoverError("the running agent ended during the hand-over: errno \(errno)")
        }
    }

    private func receive(_ kind: HandoverMessage.Kind) throws(HandoverError) {
        guard let answer = SocketControl.receive(HandoverMessage.length, from: socket) else {
            throw HandoverError("the running agent ended during the hand-over, or took too long")
        }
        for descriptor in answer.descriptors { close(descriptor) }
        guard try HandoverMessage(parsing: answer.bytes).kind == kind else {
            throw HandoverError("the running agent answered out of turn")
        }
    }
}
