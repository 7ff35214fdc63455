import Glibc

/// The messages that the supervisor's socket has not taken yet: the last one of each group, which is all that counts.
///
/// No larger than the groups that the supervisor has and those that it is to have. Owns the descriptors that it holds.
struct SupervisorBacklog: Sendable {
    /// The part that sends: the descriptors stay the caller's.
    typealias Send = (SupervisorMessage, [CInt]) -> SocketControl.Sending

    private struct Waiting {
        var message: SupervisorMessage
        /// Copies of the message's descriptors.
        var descriptors: [CInt]
    }

    private var waiting: [Waiting] = []
    /// The groups that the supervisor has copies of.
    private var sent: Set<UInt64>
    private(set) var isGone = false
    /// Whether a message could be neither sent nor kept for later.
    private(set) var hasLost = false

    /// Nothing waits; the supervisor has these groups.
    init(known groups: Set<UInt64>) {
        sent = groups
    }

    /// Whether messages wait.
    var isBehind: Bool { !waiting.isEmpty }

    /// Sends a message after those that wait, or has it wait as well. The descriptors stay the caller's.
    mutating func send(_ message: SupervisorMessage, _ descriptors: [CInt], by send: Send) {
        guard !isGone else { return }
        supersede(message)
        flush(by: send)
        // The supervisor has never had it.
        if message.kind == .drop, !sent.contains(message.key) { return }
        if waiting.isEmpty, attempt(message, descriptors, by: send) { return }
        guard !isGone else { return }
        let copies = descriptors.map { fcntl($0, F_DUPFD_CLOEXEC, 0) }
        guard copies.allSatisfy({ $0 >= 0 }) else {
            for copy in copies where copy >= 0 { Glibc.close(copy) }
            hasLost = true
            return
        }
        waiting.append(Waiting(message: message, descriptors: copies))
    }

    /// Sends what the socket takes by now of the messages that wait.
    mutating func flush(by send: Send) {
        while let first = waiting.first, attempt(first.message, first.descriptors, by: send) {
            Self.release(waiting.removeFirst())
        }
    }

    /// Forgets what waits.
    mutating func close() {
        waiting.forEach(Self.release)
        waiting = []
    }

    private static func release(_ waiting: Waiting) {
        for descriptor in waiting.descriptors { Glibc.close(descriptor) }
    }

    /// Takes out the messages that `message` makes pointless.
    private mutating func supersede(_ message: SupervisorMessage) {
        func isPointless(_ other: SupervisorMessage) -> Bool {
            switch message.kind {
            case .keep, .drop: (other.kind == .keep || other.kind == .drop) && other.key == message.key
            case .forget: other.kind != .serving
            case .serving: other.kind == .serving
            case .start, .all: false
            }
        }
        for other in waiting where isPointless(other.message) { Self.release(other) }
        waiting.removeAll { isPointless($0.message) }
    }

    /// Returns whether there is nothing left to do with the message.
    private mutating func attempt(_ message: SupervisorMessage, _ descriptors: [CInt], by send: Send) -> Bool {
        switch send(message, descriptors) {
        case .full: return false
        case .gone:
            isGone = true
            close()
            return false
        case .failed: hasLost = true
        case .sent:
            switch message.kind {
            case .keep: sent.insert(message.key)
            case .drop: sent.remove(message.key)
            case .forget: sent = []
            case .start, .serving, .all: break
            }
        }
        return true
    }
}
