package import Attribution
package import BPF
package import Logging
import MetadataServer
import Operations
package import Settings

/// The kernel side of a start. ``close()`` makes sure that pods reach no metadata server but the agent, before any
/// other part of the start can fail; connections wait, or are refused, until one listens for them.
///
/// Whatever ends the start after ``close()`` leaves the hooks attached: pods are refused until an agent serves them,
/// and `podidentd uninstall` removes the hooks of an installation that was a mistake.
package final class KernelStart: Sendable {
    private let configuration: AgentConfiguration
    private let root: KubepodsRoot
    private let cgroups: CgroupFileSystem
    private let attached: AttachedDatapath
    private let logger: Logger
    /// The kubepods cgroup that the programs know.
    package let kubepods: KubepodsCgroup

    package init(
        _ configuration: AgentConfiguration, kubepods: KubepodsCgroup, root: KubepodsRoot, cgroups: CgroupFileSystem,
        datapath: AttachedDatapath, logger: Logger
    ) {
        self.configuration = configuration
        self.root = root
        self.cgroups = cgroups
        self.attached = datapath
        self.logger = logger
        self.kubepods = kubepods
    }

    /// Attaches the hooks. No agent listens yet: connections wait for a moment, then they are refused.
    ///
    /// - Throws: Why nothing can be attached.
    package func close() throws {
        do {
            try attach()
        } catch {
            logger.critical(
                """
                no hooks: pods of this node reach the machine's own metadata server, unless hooks of an earlier agent or \
                the boot guard hold them back
                """)
            throw error
        }
        logger.info("hooks attached: pods are refused until this agent serves; 'podidentd uninstall' removes them")
    }

    /// The datapath, attached now unless it is already; and the node's own network namespace, which is this process's.
    ///
    /// - Throws: Why the hooks cannot be attached.
    package func open() throws -> (datapath: Datapath, node: NetworkNamespaceID) {
        if attached.current == nil { try attach() }
        guard let datapath = attached.current else { throw AgentError("the hooks are not attached") }
        return (datapath, try .current())
    }

    private func attach() throws {
        let ports = ListenerPorts(first: configuration.listenPort)
        var datapathConfiguration = DatapathConfiguration(
            pinDirectory: PinDirectory(path: configuration.pinDirectory),
            endpoints: configuration.redirectEndpoints.map(\.value),
            protectedEndpoints: configuration.protectedEndpoints,
            requiresHostGuard: configuration.requiresHostGuard,
            hostGuardMechanism: configuration.hostGuardMechanism,
            listenPorts: ports.range
        )
        datapathConfiguration.furtherPorts = [configuration.spiffePort, configuration.spiffeMetadataPort]
            .filter { $0 != 0 }
        let datapath = try Datapath(datapathConfiguration, cgroups: cgroups)
        attached.set(datapath)
        try datapath.setKubepods(kubepods)
        try datapath.setNode(
            datapath.ownNamespace(), agentCgroup: Self.ownCgroup(in: cgroups),
            processNamespace: Datapath.ownProcessNamespace())
        try datapath.guardHost()
        for hook in datapath.hooks {
            logger.info("hook in place", metadata: ["hook": "\(hook.name)", "origin": "\(hook.origin.rawValue)"])
        }
        if case .unavailable(let reason) = datapath.hostGuard {
            logger.warning(
                "no guard against raw frames: pods with CAP_NET_RAW and sandboxed pods are not blocked",
                metadata: ["reason": "\(reason)"]
            )
        } else {
            removeBootGuard()
        }
    }

    /// The cgroup of this process, and of the opener that it has started.
    private static func ownCgroup(in cgroups: CgroupFileSystem) throws -> CgroupID {
        guard let path = cgroups.ownPath(), let id = cgroups.id(of: path) else {
            throw AgentError("the agent's own cgroup is not below cgroup.mount-point")
        }
        return id
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
}
