import Attribution
import BPF
import Logging
import MetadataServer
import Operations
import Synchronization

/// The kernel side of a start. ``close(_:)`` makes sure that pods are refused, before any other part of the start can
/// fail; ``open(_:isSuccessor:)`` redirects them to the agent.
///
/// Whatever ends the start after ``close(_:)`` leaves the hooks attached: pods are refused until an agent serves them, and
/// `podidentd uninstall` removes the hooks of an installation that was a mistake.
final class KernelStart: Sendable {
    private struct State {
        /// Whether hooks of this process are attached.
        var isAttached = false
        /// Whether they redirect, and not only refuse.
        var isServing = false
        /// `nil`: another process holds the port.
        var sockets: ListeningSocket.Set?
        var kubepods: KubepodsCgroup
    }

    private let configuration: AgentConfiguration
    private let root: KubepodsRoot
    private let cgroups: CgroupFileSystem
    private let slot: DatapathSlot
    private let incidents: CounterTable<Incident>
    private let logger: Logger
    private let state: Mutex<State>

    init(
        _ configuration: AgentConfiguration, kubepods: KubepodsCgroup, root: KubepodsRoot, cgroups: CgroupFileSystem,
        slot: DatapathSlot, incidents: CounterTable<Incident>, logger: Logger
    ) {
        self.configuration = configuration
        self.root = root
        self.cgroups = cgroups
        self.slot = slot
        self.incidents = incidents
        self.logger = logger
        state = Mutex(State(kubepods: kubepods))
    }

    /// The kubepods cgroup that the programs know.
    var kubepods: KubepodsCgroup { state.withLock(\.kubepods) }

    /// The addresses that the agent listens on, for the log.
    var addresses: Logger.Metadata {
        [
            "address": "\(configuration.listenAddress.text)",
            "address6": "\(configuration.listenAddress6?.text ?? "none")", "port": "\(configuration.listenPort)",
        ]
    }

    /// Binds the port and attaches the hooks. Without the port the hooks refuse what they would redirect, because the
    /// process that holds the port would answer in the agent's place.
    ///
    /// - Parameter offered: The sockets of an earlier agent.
    /// - Throws: Why nothing can be attached; or, once the hooks are attached, why the address cannot be bound. A port
    ///   that another process holds is no error.
    func close(_ offered: OfferedSockets) throws {
        let sockets = Result { try ListeningSocket.adoptOrOpen(configuration, offered) }
        do {
            try attach(refusesAll: (try? sockets.get()) == nil)
        } catch {
            logger.critical(
                """
                no hooks: pods of this node reach the machine's own metadata server, unless hooks of an earlier agent or \
                the boot guard hold them back
                """)
            throw error
        }
        logger.info("hooks attached: pods are refused until this agent serves; 'podidentd uninstall' removes them")
        do {
            let sockets = try sockets.get()
            state.withLock { $0.sockets = sockets }
        } catch let error as PortHeld {
            incidents.increment(.portHeld)
            logger.error("port held: pods are refused until it is free", metadata: ["reason": "\(error)"])
        }
    }

    /// Attaches the hooks as they serve, lets connections in, and follows the hierarchy. Waits for a port that another
    /// process holds, unless a predecessor goes on serving.
    ///
    /// - Parameters:
    ///   - offered: The sockets of an earlier agent.
    ///   - isSuccessor: Whether that agent still runs.
    /// - Returns: The datapath and the listening sockets.
    /// - Throws: Why the address cannot be bound or the hooks cannot be attached.
    func open(_ offered: OfferedSockets, isSuccessor: Bool) async throws -> (Datapath, ListeningSocket.Set) {
        let sockets = try await isSuccessor ? ListeningSocket.adoptOrOpen(configuration, offered) : bound(offered)
        if !state.withLock({ $0.isServing }) { try attach(refusesAll: false) }
        guard let datapath = slot.current else { throw ConfigurationError("the hooks are not attached") }
        // Connections that are older than the listening sockets are nobody's.
        if !sockets.areHandedOver { datapath.forgetConnections() }
        // Handed over or not: the mark is in the maps of one ABI version, which may not be the predecessor's.
        for listener in sockets.descriptors {
            try datapath.markListener(listener)
            try ListeningSocket.listen(listener, configuration)
        }
        return (datapath, sockets)
    }

    /// The sockets that ``close(_:)`` has bound, or that can be bound once the port is free.
    private func bound(_ offered: OfferedSockets) async throws -> ListeningSocket.Set {
        if !state.withLock({ $0.isAttached }) { try close(offered) }
        if let sockets = state.withLock({ $0.sockets }) { return sockets }
        var retry = PortRetry()
        while true {
            try await Task.sleep(for: retry.failed())
            followKubepods()
            do {
                let sockets = try ListeningSocket.adoptOrOpen(configuration, offered)
                logger.notice("the port is free: pods are served")
                return sockets
            } catch let error as PortHeld {
                incidents.increment(.portHeld)
                logger.error("port held: pods are refused until it is free", metadata: ["reason": "\(error)"])
            }
        }
    }

    private func attach(refusesAll: Bool) throws {
        guard case .ipv4(let address) = configuration.listenAddress.value else {
            throw ConfigurationError("listen.address must be an IPv4 address")
        }
        var datapathConfiguration = DatapathConfiguration(
            pinDirectory: PinDirectory(path: configuration.pinDirectory),
            endpoints: configuration.redirectEndpoints.map(\.value),
            protectedEndpoints: configuration.protectedEndpoints,
            requiresHostGuard: configuration.requiresHostGuard,
            hostGuardMechanism: configuration.hostGuardMechanism,
            agentIPv4: address,
            agentIPv6: configuration.listenAddress6?.value,
            agentPort: configuration.listenPort,
            socketMark: configuration.socketMark
        )
        if configuration.spiffePort != 0 { datapathConfiguration.furtherPorts = [configuration.spiffePort] }
        if refusesAll { datapathConfiguration.refuseAll() }
        let datapath = try Datapath(datapathConfiguration, cgroups: cgroups)
        slot.set(datapath)
        state.withLock { $0.isAttached = true }
        try datapath.setKubepods(kubepods)
        try datapath.guardHost()
        state.withLock { $0.isServing = !refusesAll }
        for hook in datapath.hooks {
            logger.info("hook in place", metadata: ["hook": "\(hook.name)", "origin": "\(hook.origin.rawValue)"])
        }
        if case .unavailable(let reason) = datapath.hostGuard {
            logger.warning(
                "no guard against raw frames: pods with CAP_NET_RAW and sandboxed pods are not held back",
                metadata: ["reason": "\(reason)"]
            )
        } else {
            removeBootGuard()
        }
    }

    /// The hooks are in place: what held pods back since the node's boot may go.
    private func removeBootGuard() {
        do throws(BPFError) {
            guard let table = try BootGuard.removeTable() else { return }
            logger.notice("boot guard handed over to the hooks and removed", metadata: ["table": "\(table)"])
        } catch {
            logger.warning("boot guard not removed", metadata: ["reason": "\(error)"])
        }
    }

    /// While the start waits nothing else notices that the kubelet made its cgroup again.
    private func followKubepods() {
        guard let found = try? KubepodsSearch.cgroup(of: root, in: cgroups), found != kubepods,
            (try? slot.current?.setKubepods(found)) != nil
        else { return }
        state.withLock { $0.kubepods = found }
    }
}
