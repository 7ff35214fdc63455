import CSockets
import Linux
import Logging
import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Accepts connections of every listening socket, on a thread of its own, perhaps beside others.
///
/// SwiftNIO could do that too, but makes a channel, its pipeline and its promises of each connection before anything of
/// it can be read: several times the work of a cached answer.
final class Acceptor: Sendable {
    private static let pause: CInt = 1_000
    private static let silence = TimeAmount.minutes(1)
    /// How many connections of one listening socket are accepted before the next one has its turn: a pod that connects
    /// without end must not fill the queue by itself.
    private static let batch = 4

    private enum Command {
        case pause(CheckedContinuation<Void, Never>)
        case resume
        case stop
    }

    private struct Control {
        var commands: [Command] = []
        var hasEnded = false
    }

    private let listeners: ListenerTable
    /// An eventfd(2): readable when there are commands, or room for one more that is handed over.
    private let wakeUp: CInt
    /// An epoll(7) of it and the listening sockets, of which a connection wakes one thread where several wait so.
    private let set: CInt
    private let queue: ServingQueue
    private let control = Mutex(Control())
    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let ended: EventLoopFuture<Void>
    private let logger: Logger
    private let acceptFailed: @Sendable () -> Void

    /// Starts the thread, whose end `loop` is told.
    ///
    /// Nothing is accepted while `queue` is full, or with `isPaused` before ``resume()``. `acceptFailed` is called when
    /// a connection could not be accepted, for want of descriptors or memory: it waits with the kernel and is tried
    /// again once a second. `fastPath` is called once, on the thread, and gets what is accepted.
    init(
        listeners: ListenerTable, queue: ServingQueue, isPaused: Bool, loop: any EventLoop, logger: Logger,
        acceptFailed: @escaping @Sendable () -> Void, fastPath: @escaping @Sendable () -> FastPath
    ) throws(MetadataServerError) {
        wakeUp = nid_make_wake_up()
        guard wakeUp >= 0 else { throw MetadataServerError("cannot make an eventfd: errno \(errno)") }
        set = nid_make_wait(wakeUp)
        guard set >= 0 else {
            let reason = errno
            close(wakeUp)
            throw MetadataServerError("cannot wait for connections: errno \(reason)")
        }
        self.listeners = listeners
        self.queue = queue
        queue.wake(wakeUp)
        self.logger = logger
        self.acceptFailed = acceptFailed
        thread.start()
        let ended = loop.makePromise(of: Void.self)
        self.ended = ended.futureResult
        thread.submit { [self] _ in
            unsafe nid_name_this_thread("nid-accept")
            run(isPaused: isPaused, fastPath())
            ended.succeed()
        }
    }

    /// Accepts from one more socket, which stays open until it is removed here.
    func add(_ listener: ListenerTable.Listener) throws(MetadataServerError) {
        guard nid_wait_add(set, listener.descriptor, listener.number) == 0 else {
            throw MetadataServerError(
                "cannot wait for connections of descriptor \(listener.descriptor): errno \(errno)")
        }
    }

    /// Accepts nothing more from a socket, but for what is under way.
    func remove(_ listener: ListenerTable.Listener) {
        nid_wait_remove(set, listener.descriptor)
    }

    /// Leaves new connections with the kernel. When this returns, every connection that was accepted is handed over.
    func pause() async {
        await withCheckedContinuation { send(.pause($0)) }
    }

    func resume() {
        send(.resume)
    }

    /// Ends the thread. When this returns, every connection that was accepted is handed over.
    func stop() async {
        send(.stop)
        try? await ended.get()
        try? await thread.shutdownGracefully()
    }

    deinit {
        close(set)
        close(wakeUp)
    }

    private func send(_ command: Command) {
        let isHeard = control.withLock { control in
            if !control.hasEnded { control.commands.append(command) }
            return !control.hasEnded
        }
        guard isHeard else {
            if case .pause(let continuation) = command { continuation.resume() }
            return
        }
        var one: UInt64 = 1
        unsafe write(wakeUp, &one, MemoryLayout<UInt64>.size)
    }

    // MARK: On the thread

    private func run(isPaused: Bool, _ fastPath: FastPath) {
        var isPaused = isPaused
        var numbers = [UInt64](repeating: 0, count: Int(NID_WAIT_MAX))
        var turns = ListenerTurns()
        var nextLine = NIODeadline.distantPast
        var isFailing = false
        var polled: [pollfd] = []
        while true {
            let accepts = !isPaused && !isFailing && !queue.isFull
            var timeout = Self.timeout(until: fastPath.nextTime, isFailing: isFailing)
            if !accepts || !fastPath.waiting.isEmpty {
                wait(accepts, fastPath, timeout, &polled)
                timeout = 0
            }
            isFailing = false
            if let time = fastPath.nextTime, time <= .now() { fastPath.tidyUp(at: .now()) }
            let ready = accepts ? turns.order(next(within: timeout, &numbers)) : []
            if !accepts || ready.contains(UInt64(NID_WAIT_COMMANDS)), !obey(&isPaused, fastPath) { return }
            for number in ready where number != NID_WAIT_COMMANDS && !isPaused && !isFailing {
                // Removed meanwhile, or still open until this reference is gone.
                guard let listener = listeners[number] else { continue }
                // Listeners that are left when the queue is full come first in the next round.
                guard !queue.isFull else { break }
                turns.served(number)
                isFailing = !acceptBatch(listener, fastPath, &nextLine)
            }
        }
    }

    /// The numbers of what is ready.
    private func next(within timeout: CInt, _ numbers: inout [UInt64]) -> ArraySlice<UInt64> {
        let count = unsafe nid_wait(set, &numbers, timeout)
        if count < 0, errno != EINTR {
            logger.critical("cannot wait for connections; trying again", metadata: ["errno": "\(errno)"])
            sleep(1)
        }
        return numbers.prefix(Int(max(count, 0)))
    }

    /// Waits for the connections of which nothing has arrived as well, and looks at those of which something has.
    private func wait(_ accepts: Bool, _ fastPath: FastPath, _ timeout: CInt, _ polled: inout [pollfd]) {
        polled.removeAll(keepingCapacity: true)
        polled.append(pollfd(fd: accepts ? set : wakeUp, events: Int16(POLLIN), revents: 0))
        for connection in fastPath.waiting {
            polled.append(pollfd(fd: connection.descriptor, events: Int16(POLLIN), revents: 0))
        }
        guard unsafe poll(&polled, nfds_t(polled.count), timeout) > 0 else { return }
        // From the last: a place that becomes free is taken by one behind it.
        for index in fastPath.waiting.indices.reversed() where polled[index + 1].revents != 0 {
            fastPath.look(at: index)
        }
    }

    /// The timeout in milliseconds, for poll(2): negative is without end.
    static func timeout(until time: NIODeadline?, isFailing: Bool, now: NIODeadline = .now()) -> CInt {
        let time = time.map { CInt(clamping: max(($0 - now).nanoseconds, 0) / 1_000_000 + 1) }
        return isFailing ? min(time ?? pause, pause) : time ?? -1
    }

    /// Whether the thread goes on.
    private func obey(_ isPaused: inout Bool, _ fastPath: FastPath) -> Bool {
        var count: UInt64 = 0
        unsafe read(wakeUp, &count, MemoryLayout<UInt64>.size)
        let commands = control.withLock { control in
            defer { control.commands = [] }
            for case .stop in control.commands { control.hasEnded = true }
            return control.commands
        }
        var goesOn = true
        for command in commands {
            switch command {
            case .pause(let continuation):
                isPaused = true
                fastPath.handOffWaiting()
                continuation.resume()
            case .resume: isPaused = false
            case .stop:
                goesOn = false
                fastPath.handOffWaiting()
            }
        }
        return goesOn
    }

    /// Whether accepting may go on at once.
    private func acceptBatch(
        _ listener: ListenerTable.Listener, _ fastPath: FastPath, _ nextLine: inout NIODeadline
    ) -> Bool {
        listener.accepted()
        for _ in 0..<Self.batch where !queue.isFull {
            let descriptor = nid_accept(listener.descriptor)
            if descriptor >= 0 {
                fastPath.receive(descriptor, namespace: listener.namespace)
                continue
            }
            let reason = errno
            switch reason {
            case EAGAIN: return true
            // A connection that ended while it waited (accept(2)).
            case ECONNABORTED, EINTR, EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH: continue
            // No descriptors or no memory: that is the node's matter, and every listener's.
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: break
            // The socket listens no more. A process with CAP_NET_ADMIN over its namespace can end it (SOCK_DESTROY of sock_diag(7)):
            // none of the others waits for that.
            default:
                nid_wait_remove(set, listener.descriptor)
                listener.noteEnd()
                return true
            }
            acceptFailed()
            if NIODeadline.now() >= nextLine {
                nextLine = .now() + Self.silence
                logger.error(
                    "connections cannot be accepted; they wait, and are tried again once a second",
                    metadata: ["reason": "\(errorText(reason))"])
            }
            return false
        }
        return true
    }
}

/// The connections that are on their way from one thread that accepts to the event loops that serve them.
///
/// The queue is short: a pod that opens all it may at once must not stand in a loop's way all at once.
final class ServingQueue: Sendable {
    private static let limit = 16

    private let count = Atomic<Int>(0)
    private let wakeUp = Mutex<CInt?>(nil)

    /// Has an eventfd(2) written to whenever there is room again.
    fileprivate func wake(_ descriptor: CInt) {
        wakeUp.withLock { $0 = descriptor }
    }

    var isFull: Bool { count.load(ordering: .acquiring) >= Self.limit }

    func enter() {
        count.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }

    func leave() {
        guard count.wrappingSubtract(1, ordering: .acquiringAndReleasing).oldValue == Self.limit else { return }
        guard let descriptor = wakeUp.withLock({ $0 }) else { return }
        var one: UInt64 = 1
        unsafe write(descriptor, &one, MemoryLayout<UInt64>.size)
    }
}
