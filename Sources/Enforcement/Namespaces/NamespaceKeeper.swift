import Attribution
package import BPF
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
        var namespaces: OpenNamespaces
        var events: NamespaceEvents?
    }

    private let opener: Opener
    private let attached: AttachedDatapath
    private let cgroups: CgroupFileSystem
    private let server: MetadataServer
    private let logger: Logger
    private let lost: @Sendable (OpenerError) -> Void
    private let emptyPods = EmptyPods()
    private let table = RedirectTable()
    private let state: Mutex<State>

    /// The keeper calls `lost` when the opener has ended: no listener can be opened any more, and the agent must
    /// restart.
    package init(
        opener: Opener, ports: ListenerPorts, datapath: AttachedDatapath, cgroups: CgroupFileSystem,
        server: MetadataServer, supervisor: SupervisorLink?, incidents: CounterTable<Incident>, logger: Logger,
        lost: @escaping @Sendable (OpenerError) -> Void
    ) {
        self.opener = opener
        self.attached = datapath
        self.cgroups = cgroups
        self.server = server
        self.logger = logger
        self.lost = lost
        let listeners = NamespaceListeners(
            opener: opener, table: table, server: server, supervisor: supervisor, incidents: incidents, logger: logger)
        state = Mutex(
            State(
                namespaces: OpenNamespaces(
                    listeners: listeners, ports: ports, incidents: incidents, logger: logger)))
    }

    package var way: Opener.Way { opener.way }
    /// The namespaces with listeners.
    package var open: [NamespaceRegistry.Entry] { Array(state.withLock { $0.namespaces.registry.open }.values) }

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
        table.change(to: isSuccessor ? .missing : .all)
        change { namespaces throws(OpenerError) in
            namespaces.adopt(kept, datapath, node: node)
            try namespaces.openNode(node, datapath)
        }
        let events = try NamespaceEvents(datapath) { [self] event in handle(event, datapath) }
        state.withLock { $0.events = events }
        walk(datapath)
        change { $0.closeUnowned(datapath) }
    }

    /// Changes the namespaces, and reports the loss of the opener.
    private func change(_ body: (inout OpenNamespaces) throws(OpenerError) -> Void) {
        do throws(OpenerError) {
            try state.withLock { state throws(OpenerError) in try body(&state.namespaces) }
        } catch {
            lost(error)
        }
    }

    private func handle(_ event: NamespaceEvent, _ datapath: Datapath) {
        change { namespaces throws(OpenerError) in try namespaces.seen(event, datapath, lastUse: lastUse) }
    }

    private func lastUse(_ cookie: UInt64) -> ContinuousClock.Instant? {
        server.lastAccepted(namespace: cookie).map { .now - .nanoseconds((NIODeadline.now() - $0).nanoseconds) }
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

    /// Ends the events. May wait for the opener.
    package func stop() {
        table.change(to: .ended)
        state.withLock { state in
            defer { state.events = nil }
            return state.events
        }?.stop()
    }

    // MARK: Ends

    /// Closes the listeners of a pod in which no process is left for a moment's time, so that its network namespaces can end.
    func podEmptied(_ pod: CgroupID, _ datapath: Datapath) {
        emptyPods.afterMoment(of: pod) { [self] in
            guard !isPopulated(pod) else { return }
            change { $0.endIfEmpty(pod, datapath) { isPopulated(pod) } }
        }
    }

    func podEnded(_ pod: CgroupID, _ datapath: Datapath) {
        change { $0.end(pod, datapath) }
    }

    private func isPopulated(_ pod: CgroupID) -> Bool {
        cgroups.path(of: pod).map(cgroups.isPopulated) ?? false
    }

    /// Looks for pods whose end was lost: some ten system calls for each.
    func checkPods(_ datapath: Datapath) {
        let pods = state.withLock { $0.namespaces.registry.knownPods }
        for pod in pods where !isPopulated(pod) { podEmptied(pod, datapath) }
    }

    // MARK: Regular checks

    /// Whether ``check(_:node:)`` may have something to do. Waits for nothing: while the opener or the namespaces are in use it
    /// may.
    func needsCheck(node: NetworkNamespaceID) -> Bool {
        guard opener.isIdle, server.endedNamespaces.isEmpty else { return true }
        return state.withLockIfAvailable { $0.namespaces.needsCheck(node: node, at: .now) } ?? true
    }

    /// Looks for the opener's end, listeners that have ended, missing address families, refusals that have lasted long enough, and the node's port.
    /// May wait for the opener.
    func check(_ datapath: Datapath, node: NetworkNamespaceID) {
        guard opener.isRunning else { return lost(OpenerError("podidentd-opener has ended")) }
        change { namespaces throws(OpenerError) in
            namespaces.replaceEnded(server.endedNamespaces, datapath)
            try namespaces.openNode(node, datapath)
            try namespaces.complete(datapath)
        }
    }

    // MARK: Succession

    /// Opens and closes nothing more, and writes nothing: a successor does. Waits for what is being opened.
    package func yield() {
        table.change(to: .nothing)
        state.withLock { _ in }
    }

    /// The same for good. Waits for nothing: what is being opened now is redirected to no more.
    package func end() {
        table.change(to: .ended)
    }

    /// Goes on where the successor did not begin.
    package func resume() {
        guard let datapath = attached.current else { return }
        takeOver(datapath)
        walk(datapath)
        // Nothing was closed meanwhile.
        checkPods(datapath)
    }

    /// Points the programs at this agent's listeners in every namespace, in place of another's.
    package func takeOver(_ datapath: Datapath) {
        table.change(to: .all)
        change { $0.publishAll(datapath) }
    }
}
