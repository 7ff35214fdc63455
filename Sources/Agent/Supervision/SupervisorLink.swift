import Glibc

/// The agent's end of the socket to `podidentd-init`, the container's first process: it keeps copies of the listening
/// sockets, and gives them to the agent that it starts when this one has ended without being told to.
package final class SupervisorLink: Sendable {
    /// Names the inherited descriptor of the socket.
    package static let variable = "PODIDENTD_INIT_SOCKET"

    /// How often the agent was started before, and how the last one ended.
    package struct History: Sendable, Equatable {
        package var restarts: Int
        /// As wait(2) has it: a signal's number, or an exit status shifted by 8 bits.
        package var lastStatus: Int

        /// `signal 9` or `status 1`.
        package var ending: String {
            let signal = lastStatus & 0x7f
            return signal == 0 ? "status \(lastStatus >> 8 & 0xff)" : "signal \(signal)"
        }
    }

    package let history: History
    /// Copies of the listening sockets of the agent before.
    let sockets: [CInt]
    private let socket: CInt

    /// Takes the descriptor out of the environment, so that no program that this process starts gets it. There is none
    /// without a supervisor, or with one that sends no valid message.
    package init?(environment: [String: String]) {
        guard let text = environment[Self.variable], let descriptor = CInt(text), descriptor > 2,
            let peer = SocketControl.peer(of: descriptor), peer.processID == getppid(), peer.userID == geteuid()
        else { return nil }
        unsafe unsetenv(Self.variable)
        guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0,
            let first = SocketControl.receive(SupervisorMessage.length, from: descriptor),
            let start = SupervisorMessage(parsing: first.bytes), start.kind == .start
        else { return nil }
        socket = descriptor
        sockets = first.descriptors
        history = History(restarts: Int(start.first), lastStatus: Int(start.second))
    }

    deinit {
        close(socket)
    }

    /// Has the supervisor keep copies of these sockets, in place of those that it has. Tells it that this agent serves.
    func keep(_ sockets: [CInt]) {
        _ = SocketControl.send(SupervisorMessage(.keep).bytes, descriptors: sockets, over: socket)
    }

    /// Has the supervisor close its copies: the sockets are a successor's now.
    func forget() {
        _ = SocketControl.send(SupervisorMessage(.forget).bytes, descriptors: [], over: socket)
    }
}

/// A message between `podidentd-init` and the agent that it starts, as in Sources/podidentd-init/main.c: sixteen bytes,
/// big-endian, with descriptors as SCM_RIGHTS. Both programs are of one image.
struct SupervisorMessage: Sendable, Equatable {
    enum Kind: UInt8, Sendable {
        /// From the supervisor, first of all: restarts so far, and how the last agent ended.
        case start = 1
        case keep
        case forget
    }

    static let length = 16
    private static let prefix = [UInt8]("nids".utf8) + [1]

    var kind: Kind
    var first: UInt32 = 0
    var second: UInt32 = 0

    init(_ kind: Kind, first: UInt32 = 0, second: UInt32 = 0) {
        self.kind = kind
        self.first = first
        self.second = second
    }

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
