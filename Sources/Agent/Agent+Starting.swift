import Attribution
import BPF
import Logging
import MetadataServer
import Operations
import TokenExchange

/// The steps of ``Agent/init(_:logger:recentLog:reload:)`` that are more than putting parts together.
extension Agent {
    /// Pods need tokens more than operators need this socket: without space for it, the agent begins without it.
    static func start(
        _ admin: AdminServer, incidents: CounterTable<Incident>, logger: Logger
    ) async throws(AdminServerError) {
        do throws(AdminServerError) {
            try await admin.start()
        } catch {
            guard error.isOutOfSpace else { throw error }
            incidents.increment(.adminSocketFailed)
            logger.error("no admin socket until there is space for it", metadata: ["reason": "\(error)"])
        }
    }

    /// The same for the socket that an upgrade needs.
    static func start(
        _ endpoint: HandoverEndpoint, offering listeners: [CInt], incidents: CounterTable<Incident>, logger: Logger
    ) async throws {
        do {
            try await endpoint.start(offering: listeners)
        } catch let error as AdminServerError where error.isOutOfSpace {
            incidents.increment(.adminSocketFailed)
            logger.error(
                "no hand-over to a successor until there is space for its socket", metadata: ["reason": "\(error)"])
        }
    }

    /// Listens, attaches, marks, tracks and serves, in the order in which a redirected caller meets them backwards.
    static func attach(
        _ configuration: AgentConfiguration, kubepods: KubepodsCgroup, root: KubepodsRoot, index: CgroupIndex,
        cgroups: CgroupFileSystem, server: MetadataServer, slot: DatapathSlot, enforcement: PolicyEnforcement,
        incidents: CounterTable<Incident>, predecessor: Predecessor?, logger: Logger
    ) async throws -> (CgroupTracking, listeners: [CInt]) {
        guard case .ipv4(let address) = configuration.listenAddress.value else {
            throw ConfigurationError("listen.address must be an IPv4 address")
        }
        let sockets = try ListeningSocket.adoptOrOpenListeners(configuration, offered: predecessor?.listeners ?? [])
        let listeners = sockets.descriptors
        let pins = PinDirectory(path: configuration.pinDirectory)
        let datapath = try Datapath(
            DatapathConfiguration(
                pinDirectory: pins,
                endpoints: configuration.redirectEndpoints.map(\.value),
                protectedEndpoints: configuration.protectedEndpoints,
                requiresHostGuard: configuration.requiresHostGuard,
                hostGuardMechanism: configuration.hostGuardMechanism,
                agentIPv4: address,
                agentIPv6: configuration.listenAddress6?.value,
                agentPort: configuration.listenPort,
                socketMark: configuration.socketMark
            ),
            cgroups: cgroups
        )
        slot.set(datapath)
        // Connections that are older than the listening sockets are nobody's.
        if !sockets.areHandedOver { datapath.forgetConnections() }
        // Handed over or not: the mark is in the maps of one ABI version, which may not be the predecessor's.
        for listener in listeners {
            try datapath.markListener(listener)
            try ListeningSocket.listen(listener, configuration)
        }
        try datapath.setKubepods(kubepods)
        try datapath.guardHost()
        for hook in datapath.hooks {
            logger.info("hook in place", metadata: ["hook": "\(hook.name)", "origin": "\(hook.origin.rawValue)"])
        }
        if case .unavailable(let reason) = datapath.hostGuard {
            logger.warning(
                "no guard against raw frames: pods with CAP_NET_RAW and sandboxed pods are not held back",
                metadata: ["reason": "\(reason)"]
            )
        }
        let tracking = try CgroupTracking(
            index: index, root: root, kubepods: kubepods, cgroups: cgroups, pins: pins, datapath: datapath,
            enforcement: enforcement, incidents: incidents, logger: logger
        )
        for listener in listeners {
            try server.start(onListeningSocket: listener, isPaused: predecessor != nil)
        }
        logger.info(
            "serving metadata",
            metadata: [
                "address": "\(configuration.listenAddress.text)",
                "address6": "\(configuration.listenAddress6?.text ?? "none")", "port": "\(configuration.listenPort)",
            ])
        return (tracking, listeners)
    }

    static func exchange(_ configuration: AgentConfiguration) -> TokenExchangeConfiguration {
        var exchange = TokenExchangeConfiguration(
            audience: configuration.providerAudience, version: AgentVersion.current
        )
        exchange.stsURL = configuration.stsURL
        exchange.iamCredentialsURL = configuration.iamCredentialsURL
        exchange.trustRootsPath = configuration.caFile
        return exchange
    }

    static func metadata(_ configuration: AgentConfiguration) -> MetadataServerConfiguration {
        MetadataServerConfiguration(
            projectID: configuration.projectID,
            numericProjectID: configuration.projectNumber,
            universeDomain: configuration.universeDomain,
            poolName: configuration.poolName ?? ProviderName(configuration.providerAudience).pool,
            poolProjectNumber: ProviderName(configuration.providerAudience).projectNumber,
            identityProvider: configuration.providerAudience,
            subjectTokenAudience: configuration.tokenAudience ?? configuration.providerAudience,
            podTokenAudiences: Set(configuration.podTokenAudiences)
        )
    }
}
