import BPF
import Enforcement
import Logging
import NIOPosix
import Operations
import Restart
import Settings
import SpiffeEndpoint
import Telemetry

/// Every part of the agent, put together by purpose: the only place that knows them all.
struct Parts: Sendable {
    let configuration: AgentConfiguration
    let logger: Logger
    let incidents: CounterTable<Incident>
    let supervisor: SupervisorLink?
    /// Follows the cgroup hierarchy once the agent serves.
    let tracking = Slot<CgroupTracking>()
    /// Looks after the agent once it serves.
    let selfCheck = Slot<SelfCheck>()

    let kernel: KernelParts
    /// `nil`: there is no Unix socket of SPIFFE, or this kernel cannot tell whose its connections are.
    let unixPeers: UnixPeers?
    let upstreams: UpstreamParts
    let pods: PodParts
    let serving: ServingParts
    let operators: OperatorParts

    /// Attaches the hooks first of all, unless another agent runs. Sends nothing and listens nowhere.
    init(
        _ configuration: AgentConfiguration, logger: Logger, recentLog: RecentLog, reload: ReloadSource?,
        supervisor: SupervisorLink?, opener: Opener
    ) throws {
        self.configuration = configuration
        self.logger = logger
        self.supervisor = supervisor
        let incidents = CounterTable<Incident>()
        self.incidents = incidents
        let spiffe = try SpiffeSettings(configuration)
        kernel = try KernelParts(configuration, logger: logger)
        if let history = supervisor?.history, history.restarts > 0 {
            incidents.increment(.restarted)
            logger.error(
                "restarted by podidentd-init: the agent before ended without being told to",
                metadata: ["ended-by": "\(history.ending)", "restarts": "\(history.restarts)"])
        }
        if try kernel.lock.tryAcquire() { try kernel.start.close() }
        unixPeers =
            configuration.spiffeSocket == nil
            ? nil : UnixPeers.load(root: kernel.root, cgroups: kernel.cgroups, logger: logger)

        // Clients must be shut down: from here on nothing may throw past the end of this initializer.
        upstreams = try UpstreamParts(configuration, spiffe: spiffe, logger: logger)
        pods = PodParts(configuration, kernel, upstreams, incidents: incidents, logger: logger)
        serving = ServingParts(
            configuration, kernel, upstreams, pods, reload: reload, supervisor: supervisor, opener: opener,
            incidents: incidents, logger: logger)
        operators = OperatorParts(
            configuration, kernel, upstreams, pods, serving, supervisor: supervisor, incidents: incidents,
            recentLog: recentLog, logger: logger)
    }
}
