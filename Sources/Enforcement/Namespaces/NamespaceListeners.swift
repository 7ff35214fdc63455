import BPF
import Glibc
import Logging
import MetadataServer
import Operations
import Restart
import Telemetry

/// Puts open listening sockets to use: the programs mark and redirect to them, the server accepts from them,
/// and the supervisor keeps copies.
struct NamespaceListeners: Sendable {
    let server: MetadataServer
    let supervisor: SupervisorLink?
    let incidents: CounterTable<Incident>
    let logger: Logger

    /// Marks the sockets of a namespace as the agent's, and accepts from them. Owns them from here on.
    ///
    /// - Parameters:
    ///   - opened: The sockets.
    ///   - cookie: The namespace's.
    ///   - datapath: Whose programs mark them.
    ///   - isKept: Whether the supervisor gets copies, in place of those that it has of this namespace.
    /// - Throws: What the kernel said; the sockets are closed then.
    func serve(_ opened: OpenedListeners, _ cookie: UInt64, _ datapath: Datapath, isKept: Bool = true) throws {
        var rest = opened.descriptors
        defer { for descriptor in rest { Glibc.close(descriptor) } }
        for descriptor in opened.descriptors { try datapath.markListener(descriptor) }
        if isKept { supervisor?.keep(SupervisorLink.Group(key: cookie, descriptors: opened.descriptors)) }
        while let descriptor = rest.popLast() {
            try server.start(onListeningSocket: descriptor, namespace: cookie)
        }
    }

    /// Has the programs redirect connections of a namespace to a listener, or refuse them.
    func lead(to listener: NamespaceListener, _ cookie: UInt64, _ datapath: Datapath) {
        do throws(BPFError) {
            try datapath.setListener(listener, ofNamespace: cookie)
        } catch {
            incidents.increment(.namespaceFailed)
            logger.error("the programs do not know a namespace's listener", metadata: ["reason": "\(error)"])
        }
    }

    /// Ends the redirect to a namespace's listeners, and closes every copy of them: nothing of the agent's keeps the
    /// namespace.
    func close(_ cookie: UInt64, _ datapath: Datapath) {
        datapath.removeListener(ofNamespace: cookie)
        server.stop(namespace: cookie)
        supervisor?.drop(cookie)
    }
}

extension NamespaceListener {
    init(_ entry: NamespaceRegistry.Entry) {
        self.init(
            port: entry.port, hasIPv4: entry.families.contains(.ipv4), hasIPv6: entry.families.contains(.ipv6),
            state: .open)
    }
}
