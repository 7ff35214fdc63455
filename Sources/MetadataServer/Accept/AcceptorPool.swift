import Logging
import NIOCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The threads that accept from every listening socket of a server, and hand off to event loops.
final class AcceptorPool: Sendable {
    /// How many threads accept, so that one does while another waits for a processor. Beyond two cores more would only
    /// wake each other.
    static let acceptorsMax = min(2, System.coreCount)

    private enum State {
        case notYet
        case running([Member])
        case stopped
    }

    private struct Member {
        let acceptor: Acceptor
        let loop: any EventLoop
    }

    private let loops: [any EventLoop]
    private let logger: Logger
    private let acceptFailed: @Sendable () -> Void
    private let listeners = ListenerTable()
    private let state = Mutex(State.notYet)

    /// `acceptFailed` is the ``Acceptor``'s.
    init(loops: [any EventLoop], logger: Logger, acceptFailed: @escaping @Sendable () -> Void) {
        self.loops = loops
        self.logger = logger
        self.acceptFailed = acceptFailed
    }

    var isListening: Bool { !listeners.isEmpty }

    /// Accepts from one more socket, which it owns from here on.
    ///
    /// - Parameters:
    ///   - descriptor: A listening socket that does not block.
    ///   - namespace: Its network namespace, if that is looked at.
    ///   - isPaused: Whether the threads, should they begin now, accept nothing before ``resume()``.
    ///   - fastPath: Makes what a thread does with connections: for the loop at an index above all, by way of a queue.
    /// - Throws: What the kernel said; or the pool has stopped.
    func add(
        _ descriptor: CInt, namespace: UInt64?, isPaused: Bool,
        fastPath: @escaping @Sendable (Int, ServingQueue) -> FastPath
    ) throws(MetadataServerError) {
        let listener = listeners.add(descriptor, namespace: namespace)
        do throws(MetadataServerError) {
            for member in try start(isPaused: isPaused, fastPath) { try member.acceptor.add(listener) }
        } catch {
            remove { $0 === listener }
            throw error
        }
    }

    func remove(namespace: UInt64) {
        remove { $0.namespace == namespace }
    }

    func lastAccepted(namespace: UInt64) -> NIODeadline? {
        listeners.all.lazy.filter { $0.namespace == namespace }.compactMap(\.lastAccepted).max()
    }

    /// The namespaces in which a listening socket has ended by itself.
    var endedNamespaces: Set<UInt64> { Set(listeners.all.lazy.filter(\.hasEnded).compactMap(\.namespace)) }

    /// The listening sockets of a namespace.
    func descriptors(namespace: UInt64) -> [CInt] {
        listeners.all.filter { $0.namespace == namespace }.map(\.descriptor)
    }

    /// Leaves new connections with the kernel. When this returns, every connection that was accepted is set up.
    func pause() async {
        // Each thread hands off to any of the loops.
        for member in members { await member.acceptor.pause() }
        for member in members { await setUp(member.loop) }
    }

    func resume() {
        for member in members { member.acceptor.resume() }
    }

    /// Ends the threads, and closes the sockets. When this returns, every connection that was accepted is set up.
    func stop() async {
        let members = state.withLock { state in
            defer { state = .stopped }
            if case .running(let members) = state { return members }
            return []
        }
        for member in members { await member.acceptor.stop() }
        for member in members { await setUp(member.loop) }
        listeners.remove { _ in true }
    }

    private var members: [Member] {
        state.withLock { if case .running(let members) = $0 { members } else { [] } }
    }

    private func remove(where condition: (ListenerTable.Listener) -> Bool) {
        for listener in listeners.remove(where: condition) {
            for member in members { member.acceptor.remove(listener) }
        }
    }

    /// The threads, which are started unless they run.
    private func start(
        isPaused: Bool, _ fastPath: @escaping @Sendable (Int, ServingQueue) -> FastPath
    ) throws(MetadataServerError) -> [Member] {
        try state.withLock { state throws(MetadataServerError) in
            switch state {
            case .running(let members): return members
            case .stopped: throw MetadataServerError("the server has stopped")
            case .notYet: break
            }
            var members: [Member] = []
            for number in 0..<Self.acceptorsMax {
                let index = number % loops.count
                let queue = ServingQueue()
                let acceptor = try Acceptor(
                    listeners: listeners, queue: queue, isPaused: isPaused, loop: loops[index], logger: logger,
                    acceptFailed: acceptFailed
                ) { fastPath(index, queue) }
                members.append(Member(acceptor: acceptor, loop: loops[index]))
            }
            state = .running(members)
            return members
        }
    }

    /// Waits until what the acceptors handed over is served: each connection is a task of the loop, in their order.
    private func setUp(_ loop: any EventLoop) async {
        try? await loop.submit {}.get()
    }
}
