import Attribution
import BPF
import KubernetesAPI
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

    /// Opens the hooks, follows the hierarchy and accepts: last what a redirected connection meets first.
    static func serve(
        _ kernel: KernelStart, _ offered: OfferedSockets, root: KubepodsRoot, index: CgroupIndex,
        cgroups: CgroupFileSystem, pins: PinDirectory, server: MetadataServer, enforcement: PolicyEnforcement,
        incidents: CounterTable<Incident>, isSuccessor: Bool, logger: Logger
    ) async throws -> (CgroupTracking, listeners: [CInt]) {
        let (datapath, sockets) = try await kernel.open(offered, isSuccessor: isSuccessor)
        UplinkReport(logger: logger).start(datapath)
        let tracking = try CgroupTracking(
            index: index, root: root, kubepods: kernel.kubepods, cgroups: cgroups, pins: pins, datapath: datapath,
            enforcement: enforcement, incidents: incidents, logger: logger
        )
        for listener in sockets.descriptors {
            try server.start(onListeningSocket: listener, isPaused: isSuccessor)
        }
        logger.info("serving metadata", metadata: kernel.addresses)
        return (tracking, sockets.descriptors)
    }

    static func kubernetes(_ configuration: AgentConfiguration) throws -> KubernetesClientOptions {
        let isSpiffe = configuration.spiffePort != 0 || configuration.spiffeSocket != nil
        var options = try KubernetesClientOptions(
            audience: configuration.tokenAudience ?? configuration.providerAudience,
            podTokenAudiences: Set(configuration.podTokenAudiences + (isSpiffe ? [configuration.spiffeAudience] : [])),
            tokenSeconds: configuration.tokenLifetimeSeconds,
            userAgent: "podidentd/\(AgentVersion.current)"
        )
        options.policies = configuration.policies
        return options
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
