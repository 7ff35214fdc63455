import Attribution
import BPF
import EventLoops
import KubernetesAPI
package import Logging
import MetadataServer
import NIOCore
import NIOPosix
package import Operations
import ServiceLifecycle
import TokenExchange
import Tokens
import UnixSignals
import UpstreamHTTP

/// The agent, put together: the only place that knows every part.
package struct Agent: Sendable {
    private let services: [any Service]
    private let endpoint: HandoverEndpoint
    private let lock: PinLock
    private let logger: Logger

    /// How long the list of pods may take at the start. A first agent then serves without it, holding requests; a
    /// successor leaves the sockets with an agent that has one.
    private static let listLimit = (first: Duration.seconds(5), successor: Duration.seconds(30))
    /// After what time the start is over.
    private static let startUp = Duration.seconds(15)

    /// Checks everything that can be checked, and only then attaches and takes over from an agent that runs already.
    ///
    /// Throws errors that read as one sentence; whatever it throws, nothing is left attached that was not before, and an
    /// agent that runs already goes on.
    package init(
        _ configuration: AgentConfiguration, logger: Logger, recentLog: RecentLog = RecentLog(),
        reload: ReloadSource? = nil
    ) async throws {
        self.logger = logger
        let cgroups = try CgroupFiles.open(mountPoint: configuration.cgroupMountPoint)
        let (root, kubepods) = try KubepodsSearch.find(configuration, in: cgroups)

        let kubeconfig = try Kubeconfig.load(path: configuration.kubeconfig, hostRoot: configuration.hostRoot)
        logger.info(
            "kubeconfig",
            metadata: [
                "path": "\(kubeconfig.path)",
                "found-as-well": "\(kubeconfig.others.isEmpty ? "none" : kubeconfig.others.joined(separator: ", "))",
            ])
        let credentials = try NodeCredentials(kubeconfig: kubeconfig, logger: logger)
        var options = try KubernetesClientOptions(
            audience: configuration.tokenAudience ?? configuration.providerAudience,
            podTokenAudiences: Set(configuration.podTokenAudiences),
            tokenSeconds: configuration.tokenLifetimeSeconds,
            userAgent: "podidentd/\(AgentVersion.current)"
        )
        options.policies = configuration.policies
        let taintCredentials = try StartupTaint.credentials(
            configuration, asked: credentials.kubeconfig, logger: logger)
        let pins = PinDirectory(path: configuration.pinDirectory)
        let callers = RecentCallers()
        let audit = try AuditLog(
            path: configuration.auditPath.isEmpty ? nil : configuration.auditPath, node: configuration.nodeName,
            callers: callers, logger: logger
        )
        // Clients must be shut down: from the first one on, nothing may throw past the end of this initializer.
        let exchange = try GoogleTokenExchange(Self.exchange(configuration))
        let kubernetes = KubernetesClient(options: options, credentials: credentials, logger: logger)
        let upstreams = MeteredUpstreams(issuer: kubernetes, accounts: kubernetes, exchanger: exchange)
        let tokens = TokenService(
            issuer: upstreams, accounts: upstreams, exchanger: upstreams,
            clock: LoopTokenClock(executor: .upstreams), observer: { audit.record($0) },
            accountObserver: { audit.record($0) })

        let index = CgroupIndex(root: root, resolver: cgroups)
        let directory = PodDirectory { uid in
            tokens.forget(uid)
            callers.forget(uid)
        }
        let podsListed = Gate()
        let incidents = CounterTable<Incident>()
        let datapathSlot = DatapathSlot()
        let enforcement = PolicyEnforcement(
            root: root, directory: directory, policies: configuration.policies, datapath: datapathSlot, logger: logger)
        let watcher = PodWatcher(
            client: kubernetes, nodeName: configuration.nodeName, misses: directory.misses, logger: logger
        ) { event in
            guard directory.apply(event) else {
                incidents.increment(.outdatedPodEvent)
                logger.info("the watch told of a pod as it was before its end; it stays deleted")
                return
            }
            enforcement.apply(event)
            if case .replaced = event { podsListed.open() }
        }
        let watching = EarlyService { await watcher.run() }

        let node = NodeInformation(configuration: configuration, client: kubernetes, logger: logger)

        let startupTaint = taintCredentials.map { [options] credentials in
            StartupTaint(
                key: configuration.startupTaint ?? "", nodeName: configuration.nodeName, reader: kubernetes,
                credentials: credentials, options: options, watcher: watcher, logger: logger)
        }

        let reloader = ConfigurationReloader(
            configuration, source: reload, client: kubernetes, watcher: watcher, logger: logger)
        let events = PodEventRecorder(client: kubernetes, nodeName: configuration.nodeName, logger: logger)
        let refusals = RefusalReporter(
            index: index, directory: directory, audit: audit, events: events,
            writesEvents: { reloader.writesEvents })
        let counters = RequestCounters { refusals.report($0) }
        let attributions = AttributionCounters()
        let arrivals = ArrivalMonitor(ownPod: configuration.podUID, index: index, directory: directory)
        let proof = ConnectionProof(configuration, datapath: datapathSlot, directory: directory, logger: logger)
        let server = MetadataServer(
            configuration: Self.metadata(configuration),
            backend: AgentBackend(
                attributor: Attributor(index: index, directory: directory), tokens: tokens, node: node,
                attributions: attributions, callers: callers),
            readTag: { descriptor in
                let tag = datapathSlot.tag(ofAcceptedSocket: descriptor)
                if let tag { proof.observe(tag) }
                return tag
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger, observer: counters,
            acceptFailed: { incidents.increment(.acceptFailed) }
        )
        let debug = DebugViews(
            configuration: configuration, reloader: reloader, root: root, index: index, directory: directory,
            kubernetes: kubernetes, watcher: watcher, tokens: tokens, upstreams: upstreams.meters, counters: counters,
            datapath: datapathSlot,
            incidents: incidents, server: server, audit: audit, log: recentLog
        )
        let readiness = ReadinessProbe(
            datapath: datapathSlot, watcher: watcher, credentials: credentials, proof: proof,
            arrivals: arrivals, isServing: { server.isAccepting })
        let admin = AdminServer(
            path: configuration.adminSocket, views: debug.views(readiness), questions: debug.questions(readiness),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        )
        let metrics = AgentMetrics(
            requests: counters, attributions: attributions, upstreams: upstreams.meters, datapath: datapathSlot,
            server: { server.connectionCount }, tokens: tokens, index: index, directory: directory, watcher: watcher,
            credentials: credentials, readiness: readiness, audit: audit, events: events,
            incidents: incidents
        )
        let metricsServer = MetricsServer(
            address: configuration.metricsAddress.text, port: Int(configuration.metricsPort),
            collect: { metrics.families() }, readiness: { readiness.readiness },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        )
        // What tells of this agent, which is not to be taken for the one that it replaces.
        @Sendable func startTelling() async throws {
            try await Self.start(admin, incidents: incidents, logger: logger)
            if configuration.metricsPort != 0 { try await metricsServer.start() }
        }
        let hadLinks = pins.hasLinks
        do {
            let lock = try PinLock(pins)
            let endpoint = HandoverEndpoint(
                adminSocket: configuration.adminSocket, server: server, lock: lock,
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
            )
            self.lock = lock
            self.endpoint = endpoint
            if try !lock.tryAcquire(), await !podsListed.wait(atMost: Self.listLimit.successor) {
                throw ConfigurationError(
                    "an agent runs already, and goes on: this one cannot list the pods to take over from it: "
                        + (watcher.status.lastError ?? "the API server does not answer"))
            }
            let predecessor = try await Succession.predecessor(lock, pins: pins.path, at: endpoint.path)
            if predecessor == nil { try await startTelling() }
            let (tracking, listeners) = try await Self.attach(
                configuration, kubepods: kubepods, root: root, index: index, cgroups: cgroups, server: server,
                slot: datapathSlot, enforcement: enforcement, incidents: incidents, predecessor: predecessor,
                logger: logger
            )
            if let predecessor {
                try await Succession.replace(predecessor, lock)
                server.resumeAccepting()
                try await predecessor.confirm()
                logger.info("took over from the agent that ran", metadata: ["predecessor": "\(predecessor.processID)"])
                try await startTelling()
            }
            try await Self.start(endpoint, offering: listeners, incidents: incidents, logger: logger)
            let selfCheck = SelfCheck(
                datapath: datapathSlot, pins: try HeldPins(pins), tracking: tracking,
                arrivals: arrivals, admin: admin, endpoint: endpoint, incidents: incidents, logger: logger)
            // Shut down in reverse: the front first, what it needs last.
            var services: [any Service] = [
                ClosingService { await audit.close() },
                RunningService { await audit.run() },
                RunningService {
                    for await _ in await UnixSignalsSequence(trapping: .sighup) {
                        audit.reopen()
                        await reloader.reload()
                    }
                },
                ClosingService {
                    await exchange.shutdown(); await kubernetes.shutdown()
                },
            ]
            services += [
                RunningService { await events.run() },
                ClosingService { tracking.stop() },
                ClosingService { await admin.stop() },
                ClosingService { await metricsServer.stop() },
                watching,
                RunningService { await node.run() },
                RunningService { await selfCheck.run() },
                RunningService { await proof.run(isServing: { server.isAccepting }) },
                RunningService {
                    await withTaskExecutorPreference(EventLoopExecutor.upstreams) { await tokens.run() }
                },
                ClosingService {
                    await server.stopAccepting()
                    // From here on a new agent can begin.
                    lock.release()
                    await server.shutDownGracefully(
                        within: .seconds(configuration.drainSeconds), keepsIdle: endpoint.isTaken)
                },
                RunningService {
                    let isListed = await podsListed.wait(atMost: Self.listLimit.first)
                    guard !Task.isCancelled else { return }
                    logger.info(
                        "ready",
                        metadata: [
                            "version": "\(AgentVersion.current)", "node": "\(configuration.nodeName)",
                            "kubepods": "\(root)", "pods": isListed ? "listed" : "not listed yet: requests are held",
                            "cgroup-events": "\(tracking.mechanism)",
                            "endpoints": "\(configuration.redirectEndpoints.map(\.text).joined(separator: ", "))",
                        ]
                    )
                    // What follows the start at once, the first tokens, is still of it.
                    guard (try? await Task.sleep(for: Self.startUp)) != nil else { return }
                    StartUpPages.release()
                    await untilCancelled()
                },
            ]
            if let startupTaint { services.append(RunningService { await startupTaint.run() }) }
            self.services = services
        } catch {
            watching.cancel()
            await server.shutDownGracefully(within: .zero)
            if !hadLinks { _ = try? pins.remove() }
            await admin.stop()
            await metricsServer.stop()
            await audit.close()
            await exchange.shutdown()
            await kubernetes.shutdown()
            throw error
        }
    }

    /// Runs until it is told to stop (SIGTERM, SIGINT), or until a successor has taken over and this agent has answered
    /// what it had accepted. What is attached stays attached: see ``Datapath``.
    ///
    /// - Parameter isSupervised: Whether a replaced agent stays until it is told to stop, or until its successor ends,
    ///   because whatever started it would start it again.
    /// - Throws: What ended a service.
    package func run(isSupervised: Bool) async throws {
        let signals = await EndSignals()
        let succession = RunningService {
            await endpoint.waitUntilTaken()
            if !endpoint.isTaken { await endpoint.stop() }
        }
        var configuration = ServiceGroupConfiguration(
            services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
        )
        configuration.services.append(.init(service: succession, successTerminationBehavior: .gracefullyShutdownGroup))
        try await ServiceGroup(configuration: configuration).run()
        await endpoint.stop()
        if endpoint.isTaken, isSupervised {
            await Succession.standBy(lock, at: endpoint.path, signals: signals, logger: logger)
        }
    }
}
