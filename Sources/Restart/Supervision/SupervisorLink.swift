import Glibc
import Linux
import Synchronization

/// The agent's end of the socket to `podidentd-init`, the container's first process: it keeps copies of the listening
/// sockets, and gives them to the agent that it starts when this one has ended without being told to.
package final class SupervisorLink: Sendable {
    /// Names the inherited descriptor of the socket.
    package static let variable = "PODIDENTD_INIT_SOCKET"

    /// How often the agent was started before, and how the last one ended.
    package struct History: Sendable, Equatable {
        package var restarts: Int
        /// The status as wait(2) has it: a signal's number, or an exit status shifted by 8 bits.
        package var lastStatus: Int

        /// `signal 9` or `status 1`.
        package var ending: String {
            let signal = lastStatus & 0x7f
            return signal == 0 ? "status \(lastStatus >> 8 & 0xff)" : "signal \(signal)"
        }
    }

    /// Listening sockets that the supervisor keeps under one key: a network namespace's cookie, or ``plain``.
    package struct Group: Sendable, Equatable {
        package var key: UInt64
        package var descriptors: [CInt]

        package init(key: UInt64, descriptors: [CInt]) {
            self.key = key
            self.descriptors = descriptors
        }
    }

    /// The key of the sockets that are in the node's namespace and no pod's: `metrics.port`'s.
    package static let plain: UInt64 = 0
    /// How long a supervisor may take to send what it has kept.
    private static let seconds = 10

    package let history: History
    /// Copies of the listening sockets of the agent before, which are the caller's.
    package let groups: [Group]
    private let socket: CInt
    /// Held over each send, so that messages arrive in their order.
    private let backlog: Mutex<SupervisorBacklog>

    /// Takes the descriptor out of the environment, so that no program that this process starts gets it. There is none
    /// without a supervisor, or with one that sends no valid message.
    package init?(environment: [String: String]) {
        guard let text = environment[Self.variable], let descriptor = CInt(text), descriptor > 2,
            let peer = PeerCredentials(of: descriptor), peer.processID == getppid(), peer.userID == geteuid()
        else { return nil }
        unsafe unsetenv(Self.variable)
        var limit = timeval(tv_sec: Self.seconds, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0,
            let first = SocketControl.receive(SupervisorMessage.length, from: descriptor),
            let start = SupervisorMessage(parsing: first.bytes), start.kind == .start
        else { return nil }
        socket = descriptor
        let groups = Self.receiveGroups(from: descriptor)
        self.groups = groups
        backlog = Mutex(SupervisorBacklog(known: Set(groups.map(\.key))))
        history = History(restarts: Int(start.first), lastStatus: Int(start.second))
    }

    /// The link over a socket from which nothing is to be received. Owns the socket.
    init(socket: CInt, known: Set<UInt64> = []) {
        self.socket = socket
        groups = []
        backlog = Mutex(SupervisorBacklog(known: known))
        history = History(restarts: 0, lastStatus: 0)
    }

    /// The groups that the supervisor has kept, until it says that there are no more.
    private static func receiveGroups(from socket: CInt) -> [Group] {
        var groups: [Group] = []
        while let received = SocketControl.receive(SupervisorMessage.length, from: socket) {
            guard let message = SupervisorMessage(parsing: received.bytes), message.kind == .keep else {
                for descriptor in received.descriptors { close(descriptor) }
                break
            }
            groups.append(Group(key: message.key, descriptors: received.descriptors))
        }
        return groups
    }

    deinit {
        backlog.withLock { $0.close() }
        close(socket)
    }

    /// Has the supervisor keep copies of a group's sockets, in place of those that it has.
    package func keep(_ group: Group) {
        send(SupervisorMessage(.keep, key: group.key), descriptors: group.descriptors)
    }

    /// Has the supervisor close its copies of a group.
    package func drop(_ key: UInt64) {
        send(SupervisorMessage(.drop, key: key))
    }

    /// Tells the supervisor that this agent serves: it is started again should it end by itself.
    func serves() {
        send(SupervisorMessage(.serving))
    }

    /// Has the supervisor close all its copies: a successor has sockets of its own.
    func forget() {
        send(SupervisorMessage(.forget))
    }

    /// Does not wait for a supervisor that reads nothing, because it is stopped: the message then waits for ``retry()``.
    private func send(_ message: SupervisorMessage, descriptors: [CInt] = []) {
        backlog.withLock { $0.send(message, descriptors, by: transmit) }
    }

    private func transmit(_ message: SupervisorMessage, _ descriptors: [CInt]) -> SocketControl.Sending {
        SocketControl.attempt(message.bytes, descriptors: descriptors, over: socket, waits: false)
    }

    /// The supervisor's knowledge of the agent's listening sockets.
    package enum State: Sendable, Equatable {
        case current
        /// Some messages wait for a supervisor that reads nothing.
        case behind
        /// Messages were lost, for want of descriptors: the supervisor misses some sockets, or did.
        case incomplete
        /// The supervisor has ended.
        case gone
    }

    /// Sends what waits, as far as the supervisor reads by now.
    package func retry() -> State {
        backlog.withLock { backlog in
            backlog.flush(by: transmit)
            if backlog.isGone { return .gone }
            if backlog.isBehind { return .behind }
            return backlog.hasLost ? .incomplete : .current
        }
    }
}

/// A message between `podidentd-init` and the agent that it starts, as in Sources/podidentd-init/sockets.c: sixteen bytes,
/// big-endian, with descriptors as SCM_RIGHTS. Both programs are of one image.
struct SupervisorMessage: Sendable, Equatable {
    enum Kind: UInt8, Sendable {
        /// The supervisor's first message: restarts so far, and how the last agent ended.
        case start = 1
        /// A group's key and descriptors, either way.
        case keep
        case drop
        case forget
        case serving
        /// The supervisor's message that there are no more groups.
        case all
    }

    static let length = 16
    private static let prefix = [UInt8]("nids".utf8) + [2]

    var kind: Kind
    var first: UInt32 = 0
    var second: UInt32 = 0

    init(_ kind: Kind, first: UInt32 = 0, second: UInt32 = 0) {
        self.kind = kind
        self.first = first
        self.second = second
    }

    init(_ kind: Kind, key: UInt64) {
        self.init(kind, first: UInt32(truncatingIfNeeded: key >> 32), second: UInt32(truncatingIfNeeded: key))
    }

    /// Both numbers as one.
    var key: UInt64 { UInt64(first) << 32 | UInt64(second) }

    init?(parsing bytes: [UInt8]) {
        guard bytes.count == Self.length, bytes.starts(with: Self.prefix), let kind = Kind(rawValue: bytes[5]) else {
            return nil
        }
        func number(_ range: Range<Int>) -> UInt32 { bytes[range].reduce(0) { $0 << 8 | UInt32($1) } }
        self.init(kind, first: number(8..<12), second: number(12..<16))
    }

    var bytes: [UInt8] {
        var bytes = Self.prefix + [kind.rawValue, 0, 0]
        for word in [first, second] {
            unsafe bytes += withUnsafeBytes(of: word.bigEndian) { unsafe [UInt8]($0) }
        }
        return bytes
    }
}
