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

    /// Follows the hierarchy, then listens in every pod's network namespace: last what a redirected connection meets first.
    static func serve(
        _ kernel: KernelStart, _ datapath: Datapath, _ namespaces: NamespaceKeeper,
        adopting kept: [SupervisorLink.Group], root: KubepodsRoot, index: CgroupIndex, cgroups: CgroupFileSystem,
        pins: PinDirectory, enforcement: PolicyEnforcement, incidents: CounterTable<Incident>, isSuccessor: Bool,
        logger: Logger
    ) throws -> CgroupTracking {
        UplinkReport(logger: logger).start(datapath)
        let tracking = try CgroupTracking(
            index: index, root: root, kubepods: kernel.kubepods, cgroups: cgroups, pins: pins, datapath: datapath,
            enforcement: enforcement, namespaces: namespaces, incidents: incidents, logger: logger
        )
        try namespaces.start(datapath, node: kernel.node, adopting: kept, isSuccessor: isSuccessor)
        logger.info(
            "serving metadata", metadata: ["namespaces": "\(namespaces.open.count)", "by": "\(namespaces.way)"])
        return tracking
    }

    /// Says that the agent is ready once it knows the node's pods, or when it has waited for them long enough; then gives
    /// back what memory only the start needed.
    static func sayReady(once podsListed: Gate, _ facts: Logger.Metadata, _ logger: Logger) async {
        let isListed = await podsListed.wait(atMost: listLimit.first)
        guard !Task.isCancelled else { return }
        let pods: Logger.MetadataValue = isListed ? "listed" : "not listed yet: requests are held"
        logger.info("ready", metadata: facts.merging(["pods": pods]) { $1 })
        // The first tokens follow the start at once: their memory is released with it.
        guard (try? await Task.sleep(for: startUp)) != nil else { return }
        StartUpPages.release()
        await untilCancelled()
    }

    /// The time for which a replaced agent still accepts connections: a caller may be between its connect and its SYN.
    private static let drainTime = Duration.milliseconds(250)

    /// Accepts what is on its way to this agent's listeners, after a successor has taken over.
    static func drain(_ namespaces: NamespaceKeeper, _ datapath: Datapath) async {
        namespaces.withdraw(datapath)
        try? await Task.sleep(for: drainTime)
    }

    static func kubernetes(_ configuration: AgentConfiguration) throws -> KubernetesClientOptions {
        let isSpiffe = SpiffeSettings.isWanted(configuration)
        var options = try KubernetesClientOptions(
            audience: configuration.tokenAudience ?? configuration.providerAudience,
            podTokenAudiences: Set(configuration.podTokenAudiences + (isSpiffe ? [configuration.spiffeAudience] : [])),
            cloudAudiences: configuration.cloudAudiences,
            tokenSeconds: configuration.tokenLifetimeSeconds,
            userAgent: "podidentd/\(AgentVersion.current)"
        )
        options.policies = configuration.policies
        options.cloudAnnotations = configuration.servedClouds.flatMap { $0.annotations }
        return options
    }

    /// The clouds that are served besides Google.
    static func clouds(
        _ configuration: AgentConfiguration, _ place: NodePlace, logger: Logger
    ) throws -> [any CloudModule] {
        guard !configuration.servedCloudNames.isEmpty else { return [] }
        let key = SessionTokenKey.load(besideSocket: configuration.adminSocket, logger: logger)
        return try CloudModules.make(configuration, CloudParts(place: place, sessionTokens: SessionTokens(key: key)))
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
