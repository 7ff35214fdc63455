package import Attribution
import BPF
package import Clouds
package import Enforcement
import GoogleMetadata
package import KubernetesAPI
package import MetadataServer
package import Operations
package import Settings
package import Telemetry
package import Tokens

/// The endpoints of the admin socket.
package struct DebugEndpoints: Sendable {
    let configuration: AgentConfiguration
    let reloader: ConfigurationReloader
    let root: KubepodsRoot
    let index: CgroupIndex
    let directory: PodDirectory
    let kubernetes: KubernetesClient
    let watcher: PodWatcher
    let tokens: TokenService
    let clouds: [any CloudModule]
    let upstreams: UpstreamMeters
    let counters: RequestCounters
    let datapath: AttachedDatapath
    let incidents: CounterTable<Incident>
    let server: MetadataServer
    let namespaces: NamespaceKeeper
    let audit: AuditLog
    let log: RecentLog
    /// Says how the pod gets its SVID; `nil`: there is no SPIFFE endpoint.
    let spiffe: SpiffeExplainer?

    /// Tries to get an SVID of a pod, for `explain`.
    package typealias SpiffeExplainer = @Sendable (PodRecord) async -> Explanation.Stage

    package init(
        configuration: AgentConfiguration, reloader: ConfigurationReloader, root: KubepodsRoot, index: CgroupIndex,
        directory: PodDirectory, kubernetes: KubernetesClient, watcher: PodWatcher, tokens: TokenService,
        clouds: [any CloudModule], upstreams: UpstreamMeters, counters: RequestCounters, datapath: AttachedDatapath,
        incidents: CounterTable<Incident>, server: MetadataServer, namespaces: NamespaceKeeper, audit: AuditLog,
        log: RecentLog, spiffe: SpiffeExplainer?
    ) {
        self.configuration = configuration
        self.reloader = reloader
        self.root = root
        self.index = index
        self.directory = directory
        self.kubernetes = kubernetes
        self.watcher = watcher
        self.tokens = tokens
        self.clouds = clouds
        self.upstreams = upstreams
        self.counters = counters
        self.datapath = datapath
        self.incidents = incidents
        self.server = server
        self.namespaces = namespaces
        self.audit = audit
        self.log = log
        self.spiffe = spiffe
    }

    package func endpoints(_ readiness: ReadinessProbe) -> [String: AdminServer.Endpoint] {
        [
            "/debug/live": { [UInt8]("{}".utf8) },
            "/debug/ready": {
                try JSONOutput.bytes(of: ReadinessReport(readiness.readiness, podUID: configuration.podUID))
            },
            "/debug/cgroups": { try JSONOutput.bytes(of: cgroups) },
            "/debug/connections": { try JSONOutput.bytes(of: connections) },
            "/debug/tokens": { try JSONOutput.bytes(of: tokenDump) },
            "/debug/pods": { try JSONOutput.bytes(of: podLoad) },
            "/debug/status": { try JSONOutput.bytes(of: status(readiness.arrivals)) },
            "/debug/config": { try JSONOutput.bytes(of: reloader.current.settings) },
            "/debug/log": { try JSONOutput.bytes(of: log.lines) },
        ]
    }

    package func queries(_ readiness: ReadinessProbe) -> [String: AdminServer.Query] {
        let explainer = PodExplainer(
            configuration: configuration, root: root, index: index, directory: directory, watcher: watcher,
            tokens: tokens, datapath: datapath, namespaces: namespaces, readiness: readiness,
            remedies: ExplainRemedies(
                configuration: configuration,
                failures: GoogleFailures(configuration.googleMetadata)),
            clouds: CloudExplainer(modules: clouds, tokens: tokens), spiffe: spiffe
        )
        return [
            "/debug/explain": { query in
                // A pod's name or UID holds nothing that would have to be escaped.
                try JSONOutput.bytes(of: await explainer.explain(query))
            }
        ]
    }

    private var connections: ConnectionDump {
        let open = server.connections()
        var counts: [PodUID: Int] = [:]
        for connection in open { if let pod = connection.pod { counts[pod, default: 0] += 1 } }
        let podCgroups = index.snapshot().filter { $0.kind == .pod }
        var kernel: [PodUID: PodTraffic] = [:]
        for entry in podCgroups {
            let traffic = datapath.current?.traffic(ofPod: entry.id) ?? PodTraffic()
            kernel[entry.uid, default: PodTraffic()] = kernel[entry.uid, default: PodTraffic()] + traffic
        }
        let uids = Set(podCgroups.map(\.uid)).union(counts.keys)
        let places = ListenerPlaces(namespaces.open, of: podCgroups)
        var pods = uids.map { uid in
            let pod = directory.record(for: uid)
            return ConnectionDump.Pod(
                namespace: pod?.namespace, pod: pod?.name, uid: uid.description, open: counts[uid, default: 0],
                listeners: places.listeners(for: uid, isHostNetwork: pod?.isHostNetwork == true), kernel[uid])
        }
        let anonymous = open.count { $0.pod == nil }
        if anonymous > 0 {
            pods.append(
                ConnectionDump.Pod(namespace: nil, pod: nil, uid: nil, open: anonymous, listeners: nil, nil))
        }
        return ConnectionDump(
            node: configuration.nodeName, source: .agent, pods: pods,
            connections: open.map { ConnectionDump.Connection($0, pod: $0.pod.flatMap(directory.record)) })
    }

    private var tokenDump: TokenDump {
        TokenDump(node: configuration.nodeName, entries: tokens.snapshot()) { uid in directory.record(for: uid) }
    }

    private var cgroups: CgroupDump {
        CgroupDump(node: configuration.nodeName, kubepods: root.description, entries: index.snapshot()) { uid in
            directory.record(for: uid)
        }
    }

    private func status(_ arrivals: ArrivalMonitor) -> AgentStatus {
        let watch = watcher.status
        let datapath = datapath.current
        let kernel = try? datapath?.counters()
        return AgentStatus(
            version: AgentVersion.current,
            node: configuration.nodeName,
            hooks: Dictionary(
                (datapath?.hooks ?? []).map { ($0.name, $0.origin.rawValue) }, uniquingKeysWith: { first, _ in first }
            ),
            kernel: Dictionary(
                (kernel?.values ?? []).map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first }
            ),
            requests: counters.snapshot,
            namespaces: namespaces.open.count,
            namespacesBy: "\(namespaces.way)",
            pods: directory.count,
            cgroups: index.count,
            connectionCounts: datapath?.trafficByPod().count ?? 0,
            policies: datapath?.policiesByPod().count ?? 0,
            connections: server.connectionCount,
            tokenEntries: tokens.snapshot().count,
            podsSynced: watch.isSynced,
            podWatchError: watch.lastError,
            podWatchSilentSeconds: watch.lastContact.map { (ContinuousClock.now - $0).components.seconds },
            podsNotArriving: arrivals.names(of: arrivals.current.pods),
            upstreamOutages: upstreams.outages,
            isWatchingPods: watch.isWatching,
            incidents: incidents.values.reduce(into: failures(watch)) { $0[$1.key.rawValue] = $1.value }
        )
    }

    /// Counts of the failures of upstreams and the disk, by dotted names.
    private func failures(_ watch: PodWatchStatus) -> [String: UInt64] {
        var values = ["pods.list_failed": UInt64(watch.failedLists), "pods.skipped": UInt64(watch.skippedObjects)]
        values["pods.too_large"] = UInt64(watch.tooLargeObjects)
        values["pods.listed_for_a_miss"] = UInt64(watch.missLists)
        for (end, count) in watch.brokenWatches { values["pods.watch_\(end)"] = UInt64(count) }
        values["kubernetes.no_relationship"] = kubernetes.relationshipRetries
        values["kubernetes.credentials_reloaded"] = kubernetes.credentialReloads
        values["audit.lines_lost"] = audit.lost
        let counters = tokens.counters
        for (outcome, count) in counters.tokenFetches { values["tokens.\(outcome.rawValue)"] = count }
        for (outcome, count) in counters.serviceAccountReads { values["accounts.\(outcome.rawValue)"] = count }
        return values
    }
}

extension ConnectionDump.Pod {
    /// `traffic` is the kernel's; `nil`: the pod's cgroup is not known.
    init(
        namespace: String?, pod: String?, uid: String?, open: Int?, listeners: [ConnectionDump.Listener]?,
        _ traffic: PodTraffic?
    ) {
        self.init(
            namespace: namespace, pod: pod, uid: uid, open: open, listeners: listeners,
            redirected: traffic?.redirected, arrived: traffic?.arrived)
    }
}

extension ConnectionDump.Connection {
    fileprivate init(_ connection: ConnectionSnapshot, pod: PodRecord?) {
        self.init(
            namespace: pod?.namespace, pod: pod?.name, uid: connection.pod?.description,
            state: "\(connection.state)", ageSeconds: Int(connection.age.components.seconds),
            requests: connection.requests, destination: connection.destination.text,
            cgroupID: connection.cgroupID.rawValue)
    }
}

extension OriginalDestination {
    /// The address and port as people write them: `169.254.169.254:80`, `[fd20:ce::254]:80`.
    fileprivate var text: String { ProtectedEndpoint(address: address, port: port).text }
}
