import NIOCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The listening sockets of a server, by numbers that are never given twice: a thread that has just received a number
/// finds that one, or none, and never another that has got its descriptor meanwhile.
final class ListenerTable: Sendable {
    /// One listening socket, which is closed when no thread uses it any more.
    final class Listener: Sendable {
        let number: UInt64
        let descriptor: CInt
        /// The network namespace of every connection to it; `nil`: that is not looked at.
        let namespace: UInt64?
        /// The time at which a connection was last accepted.
        private let acceptedAt = Atomic<UInt64>(0)
        private let isOver = Atomic<Bool>(false)

        fileprivate init(number: UInt64, descriptor: CInt, namespace: UInt64?) {
            self.number = number
            self.descriptor = descriptor
            self.namespace = namespace
        }

        deinit {
            close(descriptor)
        }

        /// Notes that connections are being accepted.
        func accepted() {
            acceptedAt.store(NIODeadline.now().uptimeNanoseconds, ordering: .relaxed)
        }

        /// Notes that the kernel accepts nothing from it any more.
        func noteEnd() {
            isOver.store(true, ordering: .relaxed)
        }

        /// Whether the socket has stopped listening, though this process has not closed it.
        var hasEnded: Bool { isOver.load(ordering: .relaxed) }

        /// The time at which a connection was last accepted; `nil`: none has been.
        var lastAccepted: NIODeadline? {
            let nanoseconds = acceptedAt.load(ordering: .relaxed)
            return nanoseconds == 0 ? nil : .uptimeNanoseconds(nanoseconds)
        }
    }

    private struct Storage {
        var next: UInt64 = 1
        var listeners: [UInt64: Listener] = [:]
    }

    private let storage = Mutex(Storage())

    subscript(number: UInt64) -> Listener? { storage.withLock { $0.listeners[number] } }

    var isEmpty: Bool { storage.withLock { $0.listeners.isEmpty } }
    var all: [Listener] { storage.withLock { Array($0.listeners.values) } }

    /// Owns `descriptor` from here on.
    func add(_ descriptor: CInt, namespace: UInt64?) -> Listener {
        storage.withLock { storage in
            let listener = Listener(number: storage.next, descriptor: descriptor, namespace: namespace)
            storage.listeners[storage.next] = listener
            storage.next += 1
            return listener
        }
    }

    /// Forgets listeners, which are closed once no thread uses them.
    ///
    /// - Returns: Those for which `condition` holds.
    @discardableResult
    func remove(where condition: (Listener) -> Bool) -> [Listener] {
        storage.withLock { storage in
            let removed = storage.listeners.values.filter(condition)
            for listener in removed { storage.listeners[listener.number] = nil }
            return removed
        }
    }
}
