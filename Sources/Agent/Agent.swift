import Attribution
import BPF
import KubernetesAPI
package import Logging
import MetadataServer
import NIOCore
import NIOPosix
import Operations
import ServiceLifecycle
import TokenExchange
import Tokens
import UnixSignals

/// The agent, put together: the only place that knows every part.
package struct Agent: Sendable {
    private let services: [any Service]
    private let logger: Logger

    /// Checks everything that can be checked, and only then attaches.
    ///
    /// Throws errors that read as one sentence; whatever it throws, nothing is left attached that was not before.
    package init(_ configuration: AgentConfiguration, logger: Logger) async throws {
        self.logger = logger
        let cgroups = try Self.openCgroups(configuration)
        let (root, kubepods) = try KubepodsSearch.find(configuration, in: cgroups)

        let credentials = try NodeCredentials(
            kubeconfig: try Kubeconfig.load(path: configuration.kubeconfig, hostRoot: configuration.hostRoot),
            logger: logger
        )
        var options = try KubernetesClientOptions(
            audience: configuration.tokenAudience ?? configuration.providerAudience,
            podTokenAudiences: Set(configuration.podTokenAudiences),
            tokenSeconds: configuration.tokenLifetimeSeconds,
            userAgent: "podidentd/\(AgentVersion.current)"
        )
        options.policies = configuration.policies
        // Clients must be shut down: from the first one on, nothing may throw past the end of this initializer.
        let exchange = try GoogleTokenExchange(Self.exchange(configuration))
        let kubernetes = KubernetesClient(options: options, credentials: credentials, logger: logger)
        let audit = AuditLog(logger: logger)
        let tokens = TokenService(
            issuer: kubernetes, accounts: kubernetes, exchanger: exchange, observer: { audit.record($0) },
            accountObserver: { audit.record($0) })

        let index = CgroupIndex(root: root, resolver: cgroups)
        let directory = PodDirectory { uid in tokens.forget(uid) }
        let datapathSlot = DatapathSlot()
        let enforcement = PolicyEnforcement(
            root: root, directory: directory, policies: configuration.policies, datapath: datapathSlot, logger: logger)
        let watcher = PodWatcher(
            client: kubernetes, nodeName: configuration.nodeName, misses: directory.misses, logger: logger
        ) { event in
            directory.apply(event)
            enforcement.apply(event)
        }

        let node = NodeInformation(configuration: configuration, client: kubernetes, logger: logger)

        let counters = RequestCounters()
        let admin = AdminServer(
            path: configuration.adminSocket,
            views: DebugViews(
                configuration: configuration, root: root, index: index, directory: directory, watcher: watcher,
                tokens: tokens, counters: counters, datapath: datapathSlot
            ).views,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        )
        let server = MetadataServer(
            configuration: Self.metadata(configuration),
            backend: AgentBackend(
                attributor: Attributor(index: index, directory: directory), tokens: tokens, node: node),
            readTag: { descriptor in datapathSlot.tag(ofAcceptedSocket: descriptor) },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger, observer: counters
        )
        do {
            try await admin.start()
            let tracking = try await Self.attach(
                configuration, kubepods: kubepods, root: root, index: index, cgroups: cgroups, server: server,
                slot: datapathSlot, enforcement: enforcement, logger: logger
            )
            // Shut down in reverse: the front first, what it needs last.
            services = [
                ClosingService {
                    await exchange.shutdown(); await kubernetes.shutdown()
                },
                ClosingService { tracking.stop() },
                ClosingService { await admin.stop() },
                RunningService { await watcher.run() },
                RunningService { await node.run() },
                RunningService { await tokens.run() },
                ClosingService { await server.shutDownGracefully(within: .seconds(configuration.drainSeconds)) },
            ]
        } catch {
            await server.shutDownGracefully(within: .zero)
            await admin.stop()
            await exchange.shutdown()
            await kubernetes.shutdown()
            throw error
        }
    }

    /// Runs until it is told to stop (SIGTERM, SIGINT). What is attached stays attached: see ``Datapath``.
    package func run() async throws {
        let group = ServiceGroup(
            configuration: .init(services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        )
        try await group.run()
    }

    static func openCgroups(_ configuration: AgentConfiguration) throws -> CgroupFileSystem {
        if let mountPoint = configuration.cgroupMountPoint {
            return try CgroupFileSystem(mountPoint: mountPoint)
        }
        guard let mountPoint = try CgroupFileSystem.findMountPoint() else {
            throw ConfigurationError(
                "no cgroup v2 hierarchy is mounted here; mount one, or set cgroup.mount-point to where the host's is"
            )
        }
        return try CgroupFileSystem(mountPoint: mountPoint)
    }

    /// Listens, attaches, marks, tracks and serves, in the order in which a redirected caller meets them backwards.
    private static func attach(
        _ configuration: AgentConfiguration, kubepods: KubepodsCgroup, root: KubepodsRoot, index: CgroupIndex,
        cgroups: CgroupFileSystem, server: MetadataServer, slot: DatapathSlot, enforcement: PolicyEnforcement,
        logger: Logger
    ) async throws -> CgroupTracking {
        guard case .ipv4(let address) = configuration.listenAddress.value else {
            throw ConfigurationError("listen.address must be an IPv4 address")
        }
        var listeners = [
            try ListeningSocket.open(
                configuration.listenAddress, port: configuration.listenPort, key: "listen.address")
        ]
        if let address6 = configuration.listenAddress6 {
            listeners.append(
                try ListeningSocket.open(address6, port: configuration.listenPort, key: "listen.address6"))
        }
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
        for hook in datapath.hooks {
            logger.info("hook in place", metadata: ["hook": "\(hook.name)", "origin": "\(hook.origin.rawValue)"])
        }
        if case .unavailable(let reason) = datapath.hostGuard {
            logger.warning(
                "no guard against raw frames: pods with CAP_NET_RAW and sandboxed pods are not held back",
                metadata: ["reason": "\(reason)"]
            )
        }
        datapath.forgetConnections()
        for listener in listeners { try datapath.markListener(listener) }
        try datapath.setKubepods(kubepods)
        let tracking = try CgroupTracking(
            index: index, root: root, cgroups: cgroups, pins: pins, datapath: datapath,
            enforcement: enforcement, logger: logger
        )
        for listener in listeners { try await server.start(onListeningSocket: listener) }
        logger.info(
            "ready",
            metadata: [
                "version": "\(AgentVersion.current)", "node": "\(configuration.nodeName)", "kubepods": "\(root)",
                "cgroup-events": "\(tracking.mechanism)",
                "endpoints": "\(configuration.redirectEndpoints.map(\.text).joined(separator: ", "))",
            ]
        )
        return tracking
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

    private static func metadata(_ configuration: AgentConfiguration) -> MetadataServerConfiguration {
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
