import Attribution
import BPF
import Clouds
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

/// The parts that pods' connections meet: listeners, the metadata server, and what watches over both.
struct ServingParts: Sendable {
    let node: NodeInformation
    let reloader: ConfigurationReloader
    let events: PodEventRecorder
    let counters: RequestCounters
    let attributions: AttributionCounters
    let arrivals: ArrivalMonitor
    let proof: ConnectionProof
    let attributor: Attributor
    let server: MetadataServer
    let openerLost: Failure<OpenerError>
    let namespaces: NamespaceKeeper
    let readiness: ReadinessProbe

    /// Listens nowhere yet.
    init(
        _ configuration: AgentConfiguration, _ kernel: KernelParts, _ upstreams: UpstreamParts, _ pods: PodParts,
        reload: ReloadSource?, supervisor: SupervisorLink?, opener: Opener, incidents: CounterTable<Incident>,
        logger: Logger
    ) {
        node = NodeInformation(
            configuration: configuration, client: upstreams.kubernetes, place: upstreams.place, logger: logger)
        let reloader = ConfigurationReloader(
            configuration, source: reload, watcher: pods.watcher, logger: logger)
        self.reloader = reloader
        events = PodEventRecorder(client: upstreams.kubernetes, nodeName: configuration.nodeName, logger: logger)
        let refusals = RefusalReporter(
            index: pods.index, directory: pods.directory, audit: upstreams.audit, events: events,
            writesEvents: { reloader.writesEvents })
        counters = RequestCounters(pods: upstreams.podMeters) { refusals.report($0) }
        attributions = AttributionCounters()
        arrivals = ArrivalMonitor(ownPod: configuration.podUID, index: pods.index, directory: pods.directory)
        let proof = ConnectionProof(
            configuration, datapath: kernel.datapath, directory: pods.directory, logger: logger)
        self.proof = proof
        attributor = Attributor(index: pods.index, directory: pods.directory)
        let server = MetadataServer(
            backend: AgentBackend(
                attributor: attributor, tokens: upstreams.tokens, attributions: attributions,
                callers: upstreams.callers),
            rooms: CloudModules.rooms(configuration, upstreams.clouds) { [node] in node.attributes },
            readTag: { [datapath = kernel.datapath] descriptor in
                let tag = datapath.tag(ofAcceptedSocket: descriptor)
                if let tag { proof.observe(tag) }
                return tag
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger, observer: counters,
            acceptFailed: { incidents.increment(.acceptFailed) }, elsewhere: upstreams.spiffe?.service(attributor),
            secured: upstreams.spiffe?.secured(attributor, pods: pods.directory))
        self.server = server
        let openerLost = Failure<OpenerError>()
        self.openerLost = openerLost
        namespaces = NamespaceKeeper(
            opener: opener, ports: ListenerPorts(first: configuration.listenPort), datapath: kernel.datapath,
            cgroups: kernel.cgroups, server: server, supervisor: supervisor, incidents: incidents, logger: logger
        ) { error in
            guard openerLost.report(error) else { return }
            logger.error("no listener can be opened any more: the agent ends", metadata: ["reason": "\(error)"])
        }
        readiness = ReadinessProbe(
            datapath: kernel.datapath, watcher: pods.watcher, credentials: upstreams.credentials, proof: proof,
            arrivals: arrivals, isServing: { server.isAccepting })
    }
}
