import Attribution
import BPF
import Glibc
import Logging
import Operations
import Restart
import Settings
import Telemetry

/// The network namespaces in which the agent listens: opens, completes and closes listeners as the ``NamespaceRegistry`` decides,
/// and writes the programs' table.
struct OpenNamespaces: Sendable {
    private(set) var registry = NamespaceRegistry()

    /// Namespaces whose listeners, to which the programs still redirect, an earlier agent has closed. Their pods are refused and
    /// try again at once, until the walk opens them: to hold them now would be to have them wait for the kernel's next SYN.
    private var closed: Set<UInt64> = []

    private let listeners: NamespaceListeners
    private let ports: ListenerPorts
    private let incidents: CounterTable<Incident>
    private let logger: Logger

    init(
        listeners: NamespaceListeners, ports: ListenerPorts, incidents: CounterTable<Incident>, logger: Logger
    ) {
        self.listeners = listeners
        self.ports = ports
        self.incidents = incidents
        self.logger = logger
    }

    /// Whether nothing more is opened or closed: a successor listens in place of this agent, or this agent ends.
    private var isFrozen: Bool { listeners.table.isGiven }

    // MARK: Opening

    /// Handles one event of the kernel's.
    ///
    /// - Throws: Nothing can be opened any more.
    mutating func seen(
        _ event: NamespaceEvent, _ datapath: Datapath, lastUse: (UInt64) -> ContinuousClock.Instant?
    ) throws(OpenerError) {
        guard !isFrozen else { return }
        let id = event.namespace
        let process = UInt32(clamping: event.process)
        let connects = event.reason == .connect || event.reason == .held
        let decision = registry.seen(
            id, pod: event.pod, process: process, connects: connects, at: .now, lastUse: lastUse)
        switch decision {
        // The programs do not know the listener, if there is one: its pod was taken for empty.
        case .none:
            publish(id.cookie, datapath)
            if event.reason == .exec, let entry = registry.takeIncomplete(id.cookie, at: .now) {
                try complete(entry, datapath)
            }
        case .open(let replaced):
            if let replaced { listeners.close(replaced, datapath) }
            try listen(in: id, of: event.pod, process: process, datapath)
        case .refuse:
            closed.remove(id.cookie)
            incidents.increment(.namespaceRefused)
            listeners.refuse(id.cookie, datapath)
            guard registry.takesLine(about: event.pod, at: .now) else { return }
            logger.warning(
                "network namespaces refused: their pod, or the node, has as many as it may have",
                metadata: ["pod-cgroup": "\(event.pod.rawValue)", "namespace": "\(id.inode)"])
        }
    }

    private mutating func listen(
        in id: NetworkNamespaceID, of pod: CgroupID, process: UInt32, _ datapath: Datapath
    ) throws(OpenerError) {
        do {
            let opened = try listeners.open(
                OpenerRequest(namespace: id, process: process, ports: ports), datapath, leads: true, isShared: false)
            registry.opened(
                id, pod: pod, port: opened.port, families: opened.families, process: process, at: .now)
        } catch let error as OpenerError {
            throw error
        } catch {
            let isGone = (error as? OpenerFailure)?.isGone == true
            registry.failed(id, pod: pod, isGone: isGone, at: .now)
            if isGone { return }
            incidents.increment(.namespaceFailed)
            guard registry.takesLine(about: pod, at: .now) else { return }
            logger.error(
                "no listener in a pod's network namespace; it is tried again with the pod's next connection",
                metadata: [
                    "reason": "\(error)", "pod-cgroup": "\(pod.rawValue)", "namespace": "\(id.inode)",
                    "process": "\(process)",
                ])
        }
    }

    /// Opens the listeners of hostNetwork pods, unless they are open. Without a free port those pods are refused until
    /// there is one.
    ///
    /// - Throws: Nothing can be opened any more.
    mutating func openNode(_ node: NetworkNamespaceID, _ datapath: Datapath) throws(OpenerError) {
        guard registry[node.cookie] == nil, !isFrozen else { return }
        do {
            let process = UInt32(getpid())
            let opened = try listeners.open(
                OpenerRequest(namespace: node, process: process, ports: ports), datapath, leads: true, isShared: true)
            registry.openedNode(
                node, port: opened.port, families: opened.families, process: process, at: .now)
        } catch let error as OpenerError {
            throw error
        } catch {
            incidents.increment(.portHeld)
            logger.error(
                "no listener in the node's network namespace: pods with the host's network are refused until a port is free",
                metadata: ["reason": "\(error)", "port": "\(ports.first)"])
        }
    }

    /// Closes the listeners of namespaces in which one has ended by itself. A pod's namespace is refused for a while; that of
    /// the node is opened again by ``openNode(_:_:)``.
    mutating func replaceEnded(_ cookies: Set<UInt64>, _ datapath: Datapath) {
        guard !isFrozen else { return }
        for cookie in cookies {
            guard let entry = registry[cookie] else { continue }
            incidents.increment(.listenerEnded)
            listeners.close(cookie, datapath)
            var metadata: Logger.Metadata = ["namespace": "\(entry.id.inode)"]
            guard let pod = registry.listenersEnded(cookie, at: .now) else {
                logger.error(
                    "the listeners of pods with the host's network were ended from outside; they are opened again",
                    metadata: metadata)
                continue
            }
            listeners.refuse(cookie, datapath)
            guard registry.takesLine(about: pod, at: .now) else { continue }
            metadata["pod-cgroup"] = "\(pod.rawValue)"
            logger.warning(
                "a process ended the agent's listeners in its pod's network namespace: the pod is refused for a while",
                metadata: metadata)
        }
    }

    /// Takes over the sockets that the supervisor has kept. The programs still redirect to them: connections wait there.
    mutating func adopt(_ kept: [SupervisorLink.Group], _ datapath: Datapath, node: NetworkNamespaceID) {
        let known = datapath.listeners()
        for group in kept {
            let isShared = group.key == node.cookie
            guard let opened = listeners.adopt(group, known[group.key], datapath, isShared: isShared) else { continue }
            if isShared {
                registry.openedNode(
                    node, port: opened.port, families: opened.families, process: UInt32(getpid()), at: .now)
            } else {
                let id = NetworkNamespaceID(cookie: group.key, inode: 0)
                registry.opened(id, pod: nil, port: opened.port, families: opened.families, at: .now)
            }
        }
        if listeners.table.isWhole { closed = Set(known.keys).subtracting(registry.open.keys) }
    }

    /// Has the programs redirect to a namespace's listeners.
    private func publish(_ cookie: UInt64, _ datapath: Datapath) {
        guard let entry = registry[cookie] else { return }
        listeners.lead(to: NamespaceListener(entry), cookie, datapath)
    }

    /// Makes the programs' table what this agent knows, in place of another's. The other agent's listeners close soon, and its
    /// refusals would never end.
    func publishAll(_ datapath: Datapath) {
        for cookie in registry.open.keys { publish(cookie, datapath) }
        listeners.table.removeAll(except: registry.knows, from: datapath)
    }

    // MARK: Completion

    /// Whether ``openNode(_:_:)`` or ``complete(_:)`` would do anything now.
    func needsCheck(node: NetworkNamespaceID, at now: ContinuousClock.Instant) -> Bool {
        !isFrozen && (registry[node.cookie] == nil || registry.isDue(at: now))
    }

    /// Ends refusals that have lasted long enough, and opens the address families that namespaces lack, where they have the
    /// address by now.
    ///
    /// - Throws: Nothing can be opened any more.
    mutating func complete(_ datapath: Datapath) throws(OpenerError) {
        guard !isFrozen else { return }
        for cookie in registry.takeExpiredRefusals(at: .now) { listeners.table.remove(cookie, from: datapath) }
        for entry in registry.takeIncomplete(at: .now) { try complete(entry, datapath) }
    }

    private mutating func complete(
        _ entry: NamespaceRegistry.Entry, _ datapath: Datapath
    ) throws(OpenerError) {
        let missing = LoopbackFamilies.both.subtracting(entry.families)
        let request = OpenerRequest(
            namespace: entry.id, process: entry.process, ports: ListenerPorts(first: entry.port, count: 1),
            families: missing)
        do {
            let opened = try listeners.open(
                request, datapath, leads: false, isShared: entry.id.cookie == registry.node)
            registry.completed(entry.id.cookie, opened.families)
            publish(entry.id.cookie, datapath)
        } catch let error as OpenerError {
            throw error
        } catch {}  // As before: the namespace has no such address.
    }

    // MARK: Ends

    /// Closes a pod's listeners unless it has a process.
    ///
    /// A process whose connection the kernel redirects at this very moment must not find the listener closed: the redirect
    /// ends first. A process that was redirected before is in the pod still, or its connection has ended with it.
    mutating func endIfEmpty(_ pod: CgroupID, _ datapath: Datapath, isPopulated: () -> Bool) {
        guard !isFrozen else { return }
        let cookies = registry.namespaces(of: pod).filter { cookie in
            registry[cookie].map { $0.port == datapath.listener(ofNamespace: cookie)?.port } ?? false
        }
        for cookie in cookies { listeners.table.remove(cookie, from: datapath) }
        guard isPopulated() else { return end(pod, datapath) }
        for cookie in cookies { publish(cookie, datapath) }
    }

    /// Closes a pod's listeners. While another agent listens in their place they stay: they end with this agent, or it looks for
    /// the pod again when it goes on.
    mutating func end(_ pod: CgroupID, _ datapath: Datapath) {
        guard !isFrozen else { return }
        let (open, refused) = registry.ended(pod)
        for cookie in open { listeners.close(cookie, datapath) }
        for cookie in refused { listeners.table.remove(cookie, from: datapath) }
    }

    /// Closes the adopted listeners of namespaces in which no pod's process is, and ends the redirect to those that an earlier
    /// agent has closed.
    mutating func closeUnowned(_ datapath: Datapath) {
        for cookie in closed where registry[cookie] == nil { listeners.table.remove(cookie, from: datapath) }
        closed = []
        for cookie in registry.dropUnowned() { listeners.close(cookie, datapath) }
    }
}
