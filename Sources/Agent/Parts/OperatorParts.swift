import Diagnostics
import Enforcement
import KubernetesAPI
import Logging
import MetadataServer
import NIOPosix
import NodeObject
import Operations
import Restart
import Settings
import SpiffeEndpoint
import Telemetry
import Tokens

/// The parts that operators, probes and a successor meet: the admin socket, the metrics port, the hand-over, the
/// startup taint.
struct OperatorParts: Sendable {
    let admin: AdminServer
    let metricsServer: MetricsServer
    let metricsPort: MetricsPort
    let kernelSide: KernelSide
    let endpoint: HandoverEndpoint
    /// `nil`: none is configured.
    let startupTaint: StartupTaint?

    /// Listens nowhere yet.
    init(
        _ configuration: AgentConfiguration, _ kernel: KernelParts, _ upstreams: UpstreamParts, _ pods: PodParts,
        _ serving: ServingParts, supervisor: SupervisorLink?, incidents: CounterTable<Incident>, recentLog: RecentLog,
        logger: Logger
    ) {
        let debug = DebugEndpoints(
            configuration: configuration, reloader: serving.reloader, root: kernel.root, index: pods.index,
            directory: pods.directory, kubernetes: upstreams.kubernetes, watcher: pods.watcher,
            tokens: upstreams.tokens, clouds: upstreams.clouds, upstreams: upstreams.metered.meters,
            counters: serving.counters, datapath: kernel.datapath, incidents: incidents, server: serving.server,
            namespaces: serving.namespaces, audit: upstreams.audit, log: recentLog,
            spiffe: upstreams.spiffe?.explainer)
        let readiness = serving.readiness
        let group = MultiThreadedEventLoopGroup.singleton
        admin = AdminServer(
            path: configuration.adminSocket, endpoints: debug.endpoints(readiness), queries: debug.queries(readiness),
            eventLoopGroup: group, logger: logger)
        let metrics = AgentMetrics(
            requests: serving.counters, attributions: serving.attributions, upstreams: upstreams.metered.meters,
            datapath: kernel.datapath, server: { [server = serving.server] in server.connectionCount },
            tokens: upstreams.tokens, index: pods.index, directory: pods.directory, watcher: pods.watcher,
            credentials: upstreams.credentials, readiness: readiness, audit: upstreams.audit, events: serving.events,
            incidents: incidents, spiffe: upstreams.spiffe)
        metricsServer = MetricsServer(
            address: configuration.metricsAddress.text, port: Int(configuration.metricsPort),
            collect: { metrics.families() }, readiness: { readiness.readiness }, eventLoopGroup: group, logger: logger)
        metricsPort = MetricsPort(configuration, server: metricsServer, incidents: incidents, logger: logger)
        kernelSide = KernelSide(
            datapath: kernel.datapath, namespaces: serving.namespaces, enforcement: pods.enforcement,
            incidents: incidents, logger: logger)
        endpoint = HandoverEndpoint(
            adminSocket: configuration.adminSocket, kernel: kernelSide, lock: kernel.lock,
            supervisor: supervisor, credentials: { [tokens = upstreams.tokens] in tokens.heldCredentials().bytes },
            eventLoopGroup: group, logger: logger)
        startupTaint = upstreams.taintCredentials.map { credentials in
            StartupTaint(
                key: configuration.startupTaint ?? "", nodeName: configuration.nodeName, reader: upstreams.kubernetes,
                credentials: credentials, options: upstreams.options, isReady: { readiness.readiness.isReady },
                logger: logger)
        }
    }
}
