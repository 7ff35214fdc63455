import CBPFPrograms
import CLibbpf
import Glibc

/// The agent's listener in one network namespace, as the connect hooks know it.
package struct NamespaceListener: Sendable, Equatable {
    package enum State: Sendable, Equatable {
        /// Connections are redirected to the listener.
        case open
        /// Connections are refused at once.
        case refuse
    }

    /// The port in host order.
    package var port: UInt16
    /// Listens at 127.0.0.1.
    package var hasIPv4: Bool
    /// Listens at ::1.
    package var hasIPv6: Bool
    package var state: State

    package init(port: UInt16, hasIPv4: Bool, hasIPv6: Bool, state: State) {
        self.port = port
        self.hasIPv4 = hasIPv4
        self.hasIPv6 = hasIPv6
        self.state = state
    }

    init?(_ value: nid_listener) {
        switch UInt32(value.state) {
        case NID_LISTENER_OPEN.rawValue: state = .open
        case NID_LISTENER_REFUSE.rawValue: state = .refuse
        default: return nil
        }
        port = value.port
        hasIPv4 = value.families & UInt8(NID_LISTENER_IPV4) != 0
        hasIPv6 = value.families & UInt8(NID_LISTENER_IPV6) != 0
    }

    var kernelValue: nid_listener {
        nid_listener(
            port: port, state: UInt8((state == .open ? NID_LISTENER_OPEN : NID_LISTENER_REFUSE).rawValue),
            families: UInt8((hasIPv4 ? NID_LISTENER_IPV4 : 0) | (hasIPv6 ? NID_LISTENER_IPV6 : 0)), reserved: 0)
    }
}

/// The listeners that the connect hooks redirect to, by the cookie of their network namespace.
extension Datapath {
    /// Redirects the connections of a namespace to its listener from now on, those that are held included.
    ///
    /// - Throws: What the kernel said, when the table is full.
    package func setListener(_ listener: NamespaceListener, ofNamespace cookie: UInt64) throws(BPFError) {
        try maps.listeners.set(
            listener.kernelValue, for: cookie, "redirect the connections of the network namespace \(cookie)")
    }

    /// The same for a namespace that has no listener and is not refused one.
    ///
    /// - Returns: Whether it was such a namespace.
    /// - Throws: What the kernel said, when the table is full.
    package func addListener(
        _ listener: NamespaceListener, ofNamespace cookie: UInt64
    ) throws(BPFError) -> Bool {
        try maps.listeners.add(
            listener.kernelValue, for: cookie, "redirect the connections of the network namespace \(cookie)")
    }

    /// Holds the connections of a namespace from now on.
    package func removeListener(ofNamespace cookie: UInt64) {
        maps.listeners.remove(cookie)
    }

    /// The listener of a namespace, if there is one or it is refused one.
    package func listener(ofNamespace cookie: UInt64) -> NamespaceListener? {
        maps.listeners[cookie].flatMap { NamespaceListener($0) }
    }

    /// All listeners. Walks the table.
    package func listeners() -> [UInt64: NamespaceListener] {
        maps.listeners.entries().compactMapValues { NamespaceListener($0) }
    }
}
