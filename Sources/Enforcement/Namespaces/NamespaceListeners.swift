import Attribution
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
    let opener: Opener
    let table: RedirectTable
    let server: MetadataServer
    let supervisor: SupervisorLink?
    let incidents: CounterTable<Incident>
    let logger: Logger

    /// Opens listening sockets in a namespace, and puts them to use.
    ///
    /// - Parameters:
    ///   - request: Which ones.
    ///   - datapath: Whose programs mark them, and redirect to them.
    ///   - leads: Whether the programs redirect to them now, as far as the table is this agent's.
    ///   - isShared: Whether pods share the namespace.
    /// - Returns: What listens now; the server owns the sockets.
    /// - Throws: ``OpenerError``: nothing can be opened any more. Anything else: why this namespace has no listener.
    func open(
        _ request: OpenerRequest, _ datapath: Datapath, leads: Bool, isShared: Bool
    ) throws -> OpenedListeners {
        let opened = try opener.open(request)
        let cookie = request.namespace.cookie
        do {
            try serve(opened, cookie, datapath, leads: leads, isShared: isShared)
        } catch {
            // Such as a full table. A connection that is held then is refused in the end, and not left to wait in a queue.
            if leads { close(cookie, datapath) }
            throw error
        }
        return opened
    }

    /// Marks the sockets of a namespace as the agent's, and accepts from them. Owns them from here on.
    ///
    /// - Parameters:
    ///   - opened: The sockets.
    ///   - cookie: The namespace's.
    ///   - datapath: Whose programs mark them, and redirect to them.
    ///   - leads: Whether the programs redirect to them now, as far as the table is this agent's.
    ///   - isShared: Whether pods share the namespace.
    ///   - isKept: Whether the supervisor gets copies, beside those of the namespace's other sockets.
    /// - Throws: What the kernel said; the sockets are closed then, but for those that the server has.
    private func serve(
        _ opened: OpenedListeners, _ cookie: UInt64, _ datapath: Datapath, leads: Bool = false, isShared: Bool,
        isKept: Bool = true
    ) throws {
        var rest = opened.descriptors
        defer { for descriptor in rest { Glibc.close(descriptor) } }
        for descriptor in opened.descriptors { try datapath.markListener(descriptor) }
        // First of all: they listen already, and a connection that comes now waits in their queue and is not held.
        if leads { try table.set(NamespaceListener(opened), of: cookie, in: datapath) }
        if isKept {
            // A group takes the place of the one before: it holds what listened already.
            let descriptors = server.descriptors(namespace: cookie) + opened.descriptors
            supervisor?.keep(SupervisorLink.Group(key: cookie, descriptors: descriptors))
        }
        while let descriptor = rest.popLast() {
            try server.start(onListeningSocket: descriptor, namespace: cookie, waitsForBytes: !isShared)
        }
    }

    /// Takes over sockets that the supervisor has kept; drops them if they are not those that the programs redirect to.
    func adopt(
        _ group: SupervisorLink.Group, _ known: NamespaceListener?, _ datapath: Datapath, isShared: Bool
    ) -> OpenedListeners? {
        let sockets = known.flatMap { LoopbackSockets(group.descriptors, expected: $0) }
        if let opened = sockets?.opened,
            (try? serve(opened, group.key, datapath, isShared: isShared, isKept: false)) != nil
        {
            return opened
        }
        if sockets == nil { for descriptor in group.descriptors { Glibc.close(descriptor) } }
        supervisor?.drop(group.key)
        return nil
    }

    /// Has the programs redirect connections of a namespace to a listener, or refuse them.
    func lead(to listener: NamespaceListener, _ cookie: UInt64, _ datapath: Datapath) {
        do throws(BPFError) {
            try table.set(listener, of: cookie, in: datapath)
        } catch {
            incidents.increment(.namespaceFailed)
            logger.error("the programs do not know a namespace's listener", metadata: ["reason": "\(error)"])
        }
    }

    /// Has the programs refuse the connections of a namespace at once.
    func refuse(_ cookie: UInt64, _ datapath: Datapath) {
        lead(to: NamespaceListener(port: 0, hasIPv4: false, hasIPv6: false, state: .refuse), cookie, datapath)
    }

    /// Ends the redirect to a namespace's listeners, and closes every copy of them: nothing of the agent's keeps the
    /// namespace.
    func close(_ cookie: UInt64, _ datapath: Datapath) {
        table.remove(cookie, from: datapath)
        server.stop(namespace: cookie)
        supervisor?.drop(cookie)
    }
}

extension NamespaceListener {
    init(_ entry: NamespaceRegistry.Entry) { self.init(port: entry.port, entry.families) }

    init(_ opened: OpenedListeners) { self.init(port: opened.port, opened.families) }

    private init(port: UInt16, _ families: LoopbackFamilies) {
        self.init(port: port, hasIPv4: families.contains(.ipv4), hasIPv6: families.contains(.ipv6), state: .open)
    }
}
