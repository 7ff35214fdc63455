import BPF
import Glibc
import Linux
import Restart
import Settings
import Synchronization

/// The agent's end of the socket to `podidentd-opener`, the process that may enter the network namespaces of pods and opens
/// listening sockets in them. It ends with this object.
package final class Opener: Sendable {
    /// How the opener finds a namespace: `enum way`.
    package enum Way: UInt32, Sendable, CustomStringConvertible {
        case handle = 1
        case process = 2

        package var description: String {
            switch self {
            case .handle: "nsfs handles"
            case .process: "/proc/PID/ns/net"
            }
        }
    }

    /// The descriptor by which the opener finds its socket: `AGENT` in Sources/podidentd-opener/main.c.
    private static let inherited: CInt = 3
    /// An answer takes less than a millisecond.
    private static let answerSeconds = 5

    /// The opener's path, beside the agent's own executable.
    package static var path: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(length, 0)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return own[..<(own.lastIndex(of: "/") ?? own.startIndex)] + "/podidentd-opener"
    }

    package let way: Way
    package let processID: Int32
    private let socket: Mutex<CInt>

    /// Starts the opener: before this process gives up the rights that the opener needs, and while it has one thread.
    ///
    /// - Parameters:
    ///   - path: The opener's executable.
    ///   - prefix: For tests: a command that runs the opener.
    ///   - arguments: For tests: what follows its name.
    /// - Throws: Why it does not run.
    package init(
        executable path: String, prefix: [String] = [], arguments: [String] = []
    ) throws(OpenerError) {
        var ends: [CInt] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw OpenerError("cannot make a socket for podidentd-opener: errno \(errno)")
        }
        let child: pid_t
        do throws(OpenerError) {
            defer { close(ends[1]) }
            child = try Self.spawn(prefix + [path] + arguments, socket: ends[1])
        } catch {
            close(ends[0])
            throw error
        }
        var limit = timeval(tv_sec: Self.answerSeconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            unsafe setsockopt(ends[0], SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        guard let message = SocketControl.receive(OpenerGreeting.length, from: ends[0]),
            let greeting = OpenerGreeting(parsing: message.bytes)
        else {
            close(ends[0])
            // Another program may not end by itself.
            kill(child, SIGKILL)
            while waitpid(child, nil, 0) < 0, errno == EINTR {}
            throw OpenerError("podidentd-opener (\(path)) ended before it was ready; it says why on standard error")
        }
        socket = Mutex(ends[0])
        way = greeting.way
        processID = child
    }

    deinit {
        socket.withLock { _ = close($0) }
    }

    private static func spawn(_ arguments: [String], socket: CInt) throws(OpenerError) -> pid_t {
        do throws(SystemError) {
            return try SpawnRequest(
                path: arguments[0], arguments: arguments, environment: [], descriptors: [(socket, inherited)]
            ).start()
        } catch {
            throw OpenerError("cannot start \(arguments[0]): \(errorText(error.number))")
        }
    }

    /// Opens listening sockets in a namespace. Waits for them.
    ///
    /// - Throws: ``OpenerFailure`` for this namespace, or ``OpenerError``: nothing can be opened any more.
    func open(_ request: OpenerRequest) throws -> OpenedListeners {
        let received = socket.withLock { socket -> (bytes: [UInt8], descriptors: [CInt])? in
            guard SocketControl.send(request.bytes, descriptors: [], over: socket) else { return nil }
            return SocketControl.receive(OpenerResponse.length, from: socket)
        }
        guard let received else { throw givenUp("podidentd-opener has ended, or takes too long") }
        guard let answer = OpenerResponse(parsing: received.bytes), answer.cookie == request.namespace.cookie,
            received.descriptors.count == answer.families.count,
            answer.error != 0 || request.ports.contains(answer.port)
        else {
            for descriptor in received.descriptors { close(descriptor) }
            throw givenUp("podidentd-opener answered out of turn")
        }
        guard answer.error == 0 else { throw OpenerFailure(error: answer.error, step: answer.step) }
        return OpenedListeners(
            port: answer.port, families: answer.families, descriptors: received.descriptors)
    }

    /// Asks nothing more. The agent's end need not wait five seconds for each namespace that comes yet, and a late answer is
    /// none to another request.
    private func givenUp(_ reason: String) -> OpenerError {
        _ = socket.withLock { shutdown($0, CInt(SHUT_RDWR)) }
        return OpenerError(reason)
    }

    /// Sends what may be no request.
    func sendForTests(_ bytes: [UInt8]) {
        _ = socket.withLock { SocketControl.send(bytes, descriptors: [], over: $0) }
    }

    /// Whether the opener still waits for requests.
    package var isRunning: Bool { socket.withLock { Self.isQuiet($0) } }

    /// Whether the opener waits for requests and has none. Does not wait for the answer to one.
    var isIdle: Bool { socket.withLockIfAvailable { Self.isQuiet($0) } ?? false }

    /// Whether nothing is to be read, an end included.
    private static func isQuiet(_ socket: CInt) -> Bool {
        var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, 0) == 0
    }
}

/// Listening sockets of one namespace, one for each family. The descriptors are the owner's to close.
package struct OpenedListeners: Sendable, Equatable {
    var port: UInt16
    var families: LoopbackFamilies
    var descriptors: [CInt]
}

/// Why no listening socket could be opened in one namespace.
struct OpenerFailure: Error, Sendable, Equatable, CustomStringConvertible {
    var error: Int32
    var step: OpenerResponse.Step

    /// The namespace, or the process by which it was to be found, is no more. That is no fault.
    var isGone: Bool {
        step == .compare || step == .find && [ESTALE, ENOENT, ESRCH].contains(error)
    }

    var description: String {
        let reason = errorText(error)
        return switch step {
        case .done, .find: "the network namespace cannot be opened: \(reason)"
        case .compare: "the network namespace is another by now"
        case .enter: "the network namespace cannot be entered: \(reason)"
        case .listen where error == EADDRINUSE: "every port of the agent is taken in the network namespace"
        case .listen: "the network namespace takes no listening socket: \(reason)"
        }
    }
}

/// Why no namespace gets a listening socket any more.
package struct OpenerError: Error, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
