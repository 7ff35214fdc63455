import Attribution
package import BPF
import Dispatch
import Glibc
package import Logging
package import MetadataServer
import NIOCore
package import Operations
package import Restart
package import Settings
import Synchronization
package import Telemetry

/// Listens in every network namespace in which a pod's process runs: events of the kernel in, listening sockets of the
/// opener's out, into the server and the programs' table.
///
/// Events are handled one after the other, on the thread that brings them.
package final class NamespaceKeeper: Yielding {
    private struct State {
        var registry = NamespaceRegistry()
        /// Whether the programs' table gets the listeners: not before a predecessor has stopped writing to it.
        var publishes = false
        /// Whether nothing more is opened: a successor listens in place of this agent.
        var isFrozen = false
        var events: NamespaceEvents?
        /// How often a pod was emptied within the last moment, for pods of which that is to be looked at again.
        var emptied: [CgroupID: Int] = [:]
    }

    private let opener: Opener
    private let ports: ListenerPorts
    private let slot: DatapathSlot
    private let cgroups: CgroupFileSystem
    private let listeners: NamespaceListeners
    private let supervisor: SupervisorLink?
    private let incidents: CounterTable<Incident>
    private let logger: Logger
    private let lost: @Sendable (OpenerError) -> Void
    private let state = Mutex(State())

    /// The keeper calls `lost` when the opener has ended: no listener can be opened any more, and the agent must
    /// restart.
    package init(
        opener: Opener, ports: ListenerPorts, slot: DatapathSlot, cgroups: CgroupFileSystem, server: MetadataServer,
        supervisor: SupervisorLink?, incidents: CounterTable<Incident>, logger: Logger,
        lost: @escaping @Sendable (OpenerError) -> Void
    ) {
        self.opener = opener
        self.ports = ports
        self.slot = slot
        self.cgroups = cgroups
        listeners = NamespaceListeners(server: server, supervisor: supervisor, incidents: incidents, logger: logger)
        self.supervisor = supervisor
        self.incidents = incidents
        self.logger = logger
        self.lost = lost
    }

    package var way: Opener.Way { opener.way }
    /// The namespaces with listeners.
    package var open: [NamespaceRegistry.Entry] { Array(state.withLock { $0.registry.open }.values) }

    /// Listens in the node's own namespace, and in those of all pods.
    ///
    /// - Parameters:
    ///   - datapath: Whose table is written, and whose events are followed.
    ///   - node: The node's own namespace.
    ///   - kept: What the supervisor has kept of an agent that crashed.
    ///   - isSuccessor: Whether another agent still serves, on other ports: then the table stays that agent's until
    ///     ``takeOver(_:)``, but for namespaces that it does not know.
    /// - Throws: Why no events come.
    package func start(
        _ datapath: Datapath, node: NetworkNamespaceID, adopting kept: [SupervisorLink.Group], isSuccessor: Bool
    ) throws {
        state.withLock { $0.publishes = !isSuccessor }
        adopt(kept, datapath, node: node)
        openNode(datapath, node)
        let events = try NamespaceEvents(datapath) { [self] event in handle(event, datapath) }
        state.withLock { $0.events = events }
        walk(datapath)
        let unowned = state.withLock { $0.registry.dropUnowned() }
        close(unowned, datapath)
    }

    /// Handles one event of the kernel's.
    private func handle(_ event: NamespaceEvent, _ datapath: Datapath) {
        let id = event.namespace
        state.withLock { state in
            guard !state.isFrozen else { return }
            let decision = state.registry.seen(id, pod: event.pod, at: .now, lastUse: lastUse)
            switch decision {
            // The programs do not know the listener, if there is one: their table was full.
            case .none: publish(id.cookie, datapath, state)
            case .open(let replaced):
                if let replaced { listeners.close(replaced, datapath) }
                listen(in: id, of: event.pod, process: UInt32(clamping: event.process), datapath, &state)
            case .refuse(let forgotten):
                if let forgotten { datapath.removeListener(ofNamespace: forgotten) }
                incidents.increment(.namespaceRefused)
                logger.warning(
                    "network namespace refused: its pod, or the node, has as many as it may have",
                    metadata: ["pod-cgroup": "\(event.pod.rawValue)", "namespace": "\(id.inode)"])
                listeners.lead(
                    to: NamespaceListener(port: 0, hasIPv4: false, hasIPv6: false, state: .refuse), id.cookie, datapath)
            }
        }
    }

    private func lastUse(_ cookie: UInt64) -> ContinuousClock.Instant? {
        listeners.server.lastAccepted(namespace: cookie).map {
            .now - .nanoseconds((NIODeadline.now() - $0).nanoseconds)
        }
    }

    // MARK: Opening

    private func listen(
        in id: NetworkNamespaceID, of pod: CgroupID, process: UInt32, _ datapath: Datapath, _ state: inout State
    ) {
        do {
            let opened = try opener.open(OpenerRequest(namespace: id, process: process, ports: ports))
            try listeners.serve(opened, id.cookie, datapath)
            state.registry.opened(id, pod: pod, port: opened.port, families: opened.families, at: .now)
            publish(id.cookie, datapath, state)
        } catch let error as OpenerError {
            lost(error)
        } catch {
            let failures = state.registry.failed(id, pod: pod, at: .now)
            if (error as? OpenerFailure)?.isGone == true { return }
            incidents.increment(.namespaceFailed)
            guard failures == 1 else { return }
            logger.error(
                "no listener in a pod's network namespace; it is tried again with the pod's next connection",
                metadata: [
                    "reason": "\(error)", "pod-cgroup": "\(pod.rawValue)", "namespace": "\(id.inode)",
                    "process": "\(process)",
                ])
        }
    }

    /// Has the programs redirect connections of a namespace to its listeners. While a predecessor serves, that is for
    /// namespaces alone that it does not know.
    private func publish(_ cookie: UInt64, _ datapath: Datapath, _ state: State) {
        guard let entry = state.registry[cookie],
            state.publishes || datapath.listener(ofNamespace: cookie) == nil
        else { return }
        listeners.lead(to: NamespaceListener(entry), cookie, datapath)
    }

    /// Opens the listeners of hostNetwork pods. Without a free port they are refused until there is one, see
    /// ``check(_:node:)``.
    private func openNode(_ datapath: Datapath, _ node: NetworkNamespaceID) {
        state.withLock { state in
            guard state.registry[node.cookie] == nil, !state.isFrozen else { return }
            do {
                let opened = try opener.open(
                    OpenerRequest(namespace: node, process: UInt32(getpid()), ports: ports))
                try listeners.serve(opened, node.cookie, datapath)
                state.registry.openedNode(node, port: opened.port, families: opened.families, at: .now)
                publish(node.cookie, datapath, state)
            } catch let error as OpenerError {
                lost(error)
            } catch {
                incidents.increment(.portHeld)
                logger.error(
                    "no listener in the node's network namespace: pods with the host's network are refused until a port is free",
                    metadata: ["reason": "\(error)", "port": "\(ports.first)"])
            }
        }
    }

    /// Takes over the sockets that the supervisor has kept. The programs still redirect to them: connections wait
    /// there.
    private func adopt(_ kept: [SupervisorLink.Group], _ datapath: Datapath, node: NetworkNamespaceID) {
        let known = datapath.listeners()
        state.withLock { state in
            for group in kept {
                let entry = known[group.key].flatMap { LoopbackSockets(group.descriptors, expected: $0) }
                guard let entry, (try? listeners.serve(entry.opened, group.key, datapath, isKept: false)) != nil else {
                    if entry == nil { for descriptor in group.descriptors { Glibc.close(descriptor) } }
                    supervisor?.drop(group.key)
                    continue
                }
                let (port, families) = (entry.opened.port, entry.opened.families)
                if group.key == node.cookie {
                    state.registry.openedNode(node, port: port, families: families, at: .now)
                } else {
                    let id = NetworkNamespaceID(cookie: group.key, inode: 0)
                    state.registry.opened(id, pod: nil, port: port, families: families, at: .now)
                }
            }
            guard state.publishes else { return }
            // No agent listens any more where these redirect to.
            for cookie in known.keys where state.registry[cookie] == nil {
                datapath.removeListener(ofNamespace: cookie)
            }
        }
    }

    /// Looks at every process of a pod: for the start, and when events were lost.
    private func walk(_ datapath: Datapath) {
        guard let events = state.withLock({ $0.events }) else { return }
        do throws(BPFError) {
            for event in try events.walk() { handle(event, datapath) }
        } catch {
            logger.warning(
                "the pods that run already are found when they connect: their first connection takes a second longer",
                metadata: ["reason": "\(error)"])
        }
    }

    /// Ends the events.
    package func stop() {
        state.withLock { state in
            defer { state.events = nil }
            state.isFrozen = true
            return state.events
        }?.stop()
    }

    // MARK: Ends

    /// Closes the listeners of a pod in which no process is left for a moment's time, so that its network namespaces
    /// can end.
    ///
    /// Between two processes of a pod there may be none. A listener that is closed then would refuse the connection of
    /// the next process, which the kernel has redirected to it already.
    func podEmptied(_ pod: CgroupID, _ datapath: Datapath) {
        let turn = state.withLock { state in
            state.emptied[pod, default: 0] += 1
            return state.emptied[pod]
        }
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + .milliseconds(Self.emptinessMilliseconds)) {
            // Emptied once more meanwhile: it was not empty all the time.
            let isLast = self.state.withLock { state in
                guard state.emptied[pod] == turn else { return false }
                state.emptied[pod] = nil
                return true
            }
            if isLast { self.endIfEmpty(pod, datapath) }
        }
    }

    private static let emptinessMilliseconds = 200

    private func endIfEmpty(_ pod: CgroupID, _ datapath: Datapath) {
        if let path = cgroups.path(of: pod), cgroups.isPopulated(path) { return }
        podEnded(pod, datapath)
    }

    func podEnded(_ pod: CgroupID, _ datapath: Datapath) {
        state.withLock { state in
            let (open, refused) = state.registry.ended(pod)
            close(open, datapath)
            for cookie in refused { datapath.removeListener(ofNamespace: cookie) }
        }
    }

    private func close(_ cookies: [UInt64], _ datapath: Datapath) {
        for cookie in cookies { listeners.close(cookie, datapath) }
    }

    /// Looks at what no event reports: the opener's end, missing families, refusals that have lasted long enough, and
    /// the node's port. May wait for the opener.
    func check(_ datapath: Datapath, node: NetworkNamespaceID) {
        if !opener.isRunning { return lost(OpenerError("podidentd-opener has ended")) }
        openNode(datapath, node)
        state.withLock { state in
            guard !state.isFrozen else { return }
            for cookie in state.registry.takeExpiredRefusals(at: .now) { datapath.removeListener(ofNamespace: cookie) }
            for entry in state.registry.takeIncomplete(at: .now) { complete(entry, datapath, &state) }
        }
    }

    /// Looks for pods whose end was lost: some ten system calls for each.
    func checkPods(_ datapath: Datapath) {
        for pod in state.withLock({ $0.registry.knownPods }) { endIfEmpty(pod, datapath) }
    }

    private func complete(_ entry: NamespaceRegistry.Entry, _ datapath: Datapath, _ state: inout State) {
        let missing = LoopbackFamilies.both.subtracting(entry.families)
        let request = OpenerRequest(
            namespace: entry.id, process: 0, ports: ListenerPorts(first: entry.port, count: 1), families: missing)
        do {
            let opened = try opener.open(request)
            try listeners.serve(opened, entry.id.cookie, datapath, isKept: false)
            state.registry.completed(entry.id.cookie, opened.families)
            publish(entry.id.cookie, datapath, state)
        } catch let error as OpenerError {
            lost(error)
        } catch {}  // As before: the namespace has no such address.
    }

    // MARK: Succession

    /// Opens nothing more: a successor does.
    package func yield() {
        state.withLock { $0.isFrozen = true }
    }

    /// Goes on where the successor did not begin.
    package func resume() {
        guard let datapath = slot.current else { return }
        takeOver(datapath)
        walk(datapath)
    }

    /// Points the programs at this agent's listeners in every namespace, in place of a predecessor's.
    package func takeOver(_ datapath: Datapath) {
        state.withLock { state in
            state.publishes = true
            state.isFrozen = false
            for cookie in state.registry.open.keys { publish(cookie, datapath, state) }
        }
    }

    /// Takes the listeners out of the programs' table that are still this agent's: the successor does not know them.
    package func withdraw(_ datapath: Datapath) {
        let entries = state.withLock { state in
            state.isFrozen = true
            return state.registry.open
        }
        for (cookie, entry) in entries where datapath.listener(ofNamespace: cookie)?.port == entry.port {
            datapath.removeListener(ofNamespace: cookie)
        }
    }
}
