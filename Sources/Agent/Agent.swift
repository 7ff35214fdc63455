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
    private let metricsServer: MetricsServer
    private let logger: Logger

    /// How long the list of pods may take at the start: a first agent then serves without it, a successor gives up.
    static let listLimit = (first: Duration.seconds(5), successor: Duration.seconds(30))
    static let startUp = Duration.seconds(15)

    /// Attaches the hooks, then puts everything else together; or takes over from an agent that runs already.
    ///
    /// Throws errors that read as one sentence. Hooks that are attached by then stay, see ``KernelStart``; an agent that
    /// runs already goes on.
    package init(
        _ configuration: AgentConfiguration, logger: Logger, recentLog: RecentLog = RecentLog(),
        reload: ReloadSource? = nil, supervisor: SupervisorLink? = nil, opener: Opener
    ) async throws {
        self.logger = logger
        let spiffeSettings = try SpiffeSettings(configuration)
        let cgroups = try CgroupFiles.open(mountPoint: configuration.cgroupMountPoint)
        let (root, kubepods) = try KubepodsSearch.find(configuration, in: cgroups)
        let pins = PinDirectory(path: configuration.pinDirectory)
        let incidents = CounterTable<Incident>()
        let datapathSlot = DatapathSlot()
        let kernel = try KernelStart(
            configuration, kubepods: kubepods, root: root, cgroups: cgroups, node: .current(), slot: datapathSlot,
            logger: logger)
        if let history = supervisor?.history, history.restarts > 0 {
            incidents.increment(.restarted)
            logger.error(
                "restarted by podidentd-init: the agent before ended without being told to",
                metadata: ["ended-by": "\(history.ending)", "restarts": "\(history.restarts)"])
        }
        let kept = supervisor?.groups ?? []
        var offered = OfferedSockets(kept.filter { $0.key == SupervisorLink.plain }.flatMap(\.descriptors))
        let lock = try PinLock(pins)
        if try lock.tryAcquire() { try kernel.close() }

        let kubeconfig = try Kubeconfig.load(path: configuration.kubeconfig, hostRoot: configuration.hostRoot)
        logger.info(
            "kubeconfig",
            metadata: [
                "path": "\(kubeconfig.path)",
                "found-as-well": "\(kubeconfig.others.isEmpty ? "none" : kubeconfig.others.joined(separator: ", "))",
            ])
        let credentials = try NodeCredentials(kubeconfig: kubeconfig, logger: logger)
        let options = try Self.kubernetes(configuration)
        let taintCredentials = try StartupTaint.credentials(
            configuration, asked: credentials.kubeconfig, logger: logger)
        let callers = RecentCallers()
        let audit = try AuditLog(
            path: configuration.auditPath.isEmpty ? nil : configuration.auditPath, node: configuration.nodeName,
            callers: callers, logger: logger
        )
        let place = NodePlace()
        let clouds = try Self.clouds(configuration, place, logger: logger)
        // Clients must be shut down: from the first one on, nothing may throw past the end of this initializer.
        let exchange = try GoogleTokenExchange(Self.exchange(configuration))
        let kubernetes = KubernetesClient(options: options, credentials: credentials, logger: logger)
        let upstreams = MeteredUpstreams(
            issuer: kubernetes, accounts: kubernetes, exchanger: exchange, clouds: clouds.map(\.exchanger))
        let tokens = TokenService(
            issuer: upstreams, accounts: upstreams, exchanger: upstreams, clouds: upstreams.clouds,
            clock: LoopTokenClock(executor: .upstreams), observer: { audit.record($0) },
            accountObserver: { audit.record($0) })

        let spiffe = spiffeSettings.map { SpiffeFront($0, tokens: upstreams, audit: audit, logger: logger) }

        let index = CgroupIndex(root: root, resolver: cgroups)
        let directory = PodDirectory { uid in
            tokens.forget(uid)
            callers.forget(uid)
            spiffe?.forget(uid)
        }
        let podsListed = Gate()
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

        let node = NodeInformation(configuration: configuration, client: kubernetes, place: place, logger: logger)

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
        let attributor = Attributor(index: index, directory: directory)
        let server = MetadataServer(
            configuration: Self.metadata(configuration),
            backend: AgentBackend(
                attributor: attributor, tokens: tokens, node: node, attributions: attributions, callers: callers),
            rooms: clouds.flatMap(\.rooms),
            readTag: { descriptor in
                let tag = datapathSlot.tag(ofAcceptedSocket: descriptor)
                if let tag { proof.observe(tag) }
                return tag
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger, observer: counters,
            acceptFailed: { incidents.increment(.acceptFailed) }, elsewhere: spiffe?.service(attributor),
            secured: spiffe?.secured(attributor, pods: directory)
        )
        let openerLost = Failure<OpenerError>()
        let namespaces = NamespaceKeeper(
            opener: opener, ports: ListenerPorts(first: configuration.listenPort), slot: datapathSlot, cgroups: cgroups,
            server: server, supervisor: supervisor, incidents: incidents, logger: logger
        ) { openerLost.report($0) }
        let debug = DebugViews(
            configuration: configuration, reloader: reloader, root: root, index: index, directory: directory,
            kubernetes: kubernetes, watcher: watcher, tokens: tokens, clouds: clouds, upstreams: upstreams.meters,
            counters: counters,
            datapath: datapathSlot,
            incidents: incidents, server: server, namespaces: namespaces, audit: audit, log: recentLog
        )
        let readiness = ReadinessProbe(
            datapath: datapathSlot, watcher: watcher, credentials: credentials, proof: proof,
            arrivals: arrivals, isServing: { server.isAccepting })
        let startupTaint = taintCredentials.map { [options] credentials in
            StartupTaint(
                key: configuration.startupTaint ?? "", nodeName: configuration.nodeName, reader: kubernetes,
                credentials: credentials, options: options, isReady: { readiness.readiness.isReady }, logger: logger)
        }
        let admin = AdminServer(
            path: configuration.adminSocket, views: debug.views(readiness), questions: debug.questions(readiness),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        )
        let metrics = AgentMetrics(
            requests: counters, attributions: attributions, upstreams: upstreams.meters, datapath: datapathSlot,
            server: { server.connectionCount }, tokens: tokens, index: index, directory: directory, watcher: watcher,
            credentials: credentials, readiness: readiness, audit: audit, events: events,
            incidents: incidents, spiffe: spiffe
        )
        let metricsServer = MetricsServer(
            address: configuration.metricsAddress.text, port: Int(configuration.metricsPort),
            collect: { metrics.families() }, readiness: { readiness.readiness },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        )
        let metricsPort = MetricsPort(configuration, server: metricsServer, incidents: incidents, logger: logger)
        do {
            let endpoint = HandoverEndpoint(
                adminSocket: configuration.adminSocket, namespaces: namespaces, lock: lock, supervisor: supervisor,
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
            )
            self.lock = lock
            self.endpoint = endpoint
            self.metricsServer = metricsServer
            if try !lock.tryAcquire(), await !podsListed.wait(atMost: Self.listLimit.successor) {
                throw ConfigurationError(
                    "an agent runs already, and goes on: this one cannot list the pods to take over from it: "
                        + (watcher.status.lastError ?? "the API server does not answer"))
            }
            let predecessor = try await Succession.predecessor(lock, pins: pins.path, at: endpoint.path)
            if let predecessor {
                offered.closeRest()
                offered = OfferedSockets(predecessor.listeners)
            } else {
                // Before the wait for a port that another process holds: operators must see why.
                try await Self.start(admin, incidents: incidents, logger: logger)
                await metricsPort.start(offered)
            }
            let datapath = try kernel.open()
            let tracking = try Self.serve(
                kernel, datapath, namespaces, adopting: kept.filter { $0.key != SupervisorLink.plain }, root: root,
                index: index, cgroups: cgroups, pins: pins, enforcement: enforcement, incidents: incidents,
                isSuccessor: predecessor != nil, logger: logger)
            if let predecessor {
                try await Succession.replace(predecessor, lock)
                namespaces.takeOver(datapath)
                try await predecessor.confirm()
                logger.info("took over from the agent that ran", metadata: ["predecessor": "\(predecessor.processID)"])
                try await Self.start(admin, incidents: incidents, logger: logger)
                await metricsPort.start(offered)
            }
            offered.closeRest()
            try await spiffe?.listen(attributor, peers: UnixPeers(root: root, cgroups: cgroups))
            try await Self.start(
                endpoint, offering: [metricsPort.descriptor].compactMap { $0 }, incidents: incidents, logger: logger)
            let selfCheck = SelfCheck(
                datapath: datapathSlot, pins: try HeldPins(pins), tracking: tracking, namespaces: namespaces,
                node: kernel.node, arrivals: arrivals, admin: admin, endpoint: endpoint, incidents: incidents,
                logger: logger)
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
                    for cloud in clouds { await cloud.shutdown() }
                },
            ]
            services += spiffe?.services(drainSeconds: configuration.drainSeconds) ?? []
            services += [
                RunningService { await events.run() },
                ClosingService {
                    tracking.stop()
                    namespaces.stop()
                },
                ClosingService { await admin.stop() },
                ClosingService { await metricsServer.stop() },
                RunningService {
                    await metricsPort.run { metricsPort.descriptor.map { endpoint.add($0) } }
                },
                watching,
                RunningService { await node.run() },
                RunningService { await selfCheck.run() },
                RunningService { await proof.run(isServing: { server.isAccepting }) },
                RunningService {
                    await withTaskExecutorPreference(EventLoopExecutor.upstreams) { await tokens.run() }
                },
                FailingService { try await openerLost.wait() },
                ClosingService {
                    if endpoint.isTaken { await Self.drain(namespaces, datapath) }
                    await server.stopAccepting()
                    // From here on a new agent can begin.
                    lock.release()
                    await server.shutDownGracefully(
                        within: .seconds(configuration.drainSeconds), keepsIdle: endpoint.isTaken)
                },
                RunningService {
                    await Self.sayReady(
                        once: podsListed,
                        [
                            "version": "\(AgentVersion.current)", "node": "\(configuration.nodeName)",
                            "kubepods": "\(root)", "cgroup-events": "\(tracking.mechanism)",
                            "namespaces": "\(namespaces.way)",
                            "endpoints": "\(configuration.redirectEndpoints.map(\.text).joined(separator: ", "))",
                        ], logger)
                },
            ]
            if let startupTaint { services.append(RunningService { await startupTaint.run() }) }
            self.services = services
        } catch {
            watching.cancel()
            namespaces.stop()
            await server.shutDownGracefully(within: .zero)
            await spiffe?.shutdown(within: .zero)
            await admin.stop()
            await metricsServer.stop()
            await audit.close()
            await exchange.shutdown()
            await kubernetes.shutdown()
            for cloud in clouds { await cloud.shutdown() }
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
            // The successor answers on the same socket.
            if endpoint.isTaken { await metricsServer.stop() } else { await endpoint.stop() }
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
