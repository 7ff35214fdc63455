import Attribution
import Enforcement
import KubernetesAPI
import Logging
import Operations
import Settings
import SpiffeEndpoint
import Telemetry
import Tokens

/// The parts that know the node's pods: their cgroups, their records, their policies.
struct PodParts: Sendable {
    let index: CgroupIndex
    let directory: PodDirectory
    let enforcement: PolicyEnforcement
    let watcher: PodWatcher
    /// The latch that opens once the pod list has been read.
    let listed: Latch
    let watching: EarlyService

    /// Begins to watch the pods.
    init(
        _ configuration: AgentConfiguration, _ kernel: KernelParts, _ upstreams: UpstreamParts,
        incidents: CounterTable<Incident>, logger: Logger
    ) {
        index = CgroupIndex(root: kernel.root, resolver: kernel.cgroups)
        let directory = PodDirectory {
            [
                tokens = upstreams.tokens, callers = upstreams.callers, meters = upstreams.podMeters,
                spiffe = upstreams.spiffe
            ] in
            tokens.forget($0)
            callers.forget($0)
            meters.forget($0)
            spiffe?.forget($0)
        }
        self.directory = directory
        let listed = Latch()
        self.listed = listed
        let enforcement = PolicyEnforcement(
            root: kernel.root, directory: directory, policies: configuration.policies, datapath: kernel.datapath,
            logger: logger)
        self.enforcement = enforcement
        let watcher = PodWatcher(
            client: upstreams.kubernetes, nodeName: configuration.nodeName, misses: directory.lookupMisses,
            policies: configuration.policies, auditedLabels: Set(configuration.auditLabels), logger: logger
        ) { event in
            guard directory.apply(event) else {
                incidents.increment(.outdatedPodEvent)
                logger.info("the pod watch reported a pod as it was before its end; the pod stays deleted")
                return
            }
            enforcement.apply(event)
            if case .replaced = event { listed.open() }
        }
        self.watcher = watcher
        watching = EarlyService { await watcher.run() }
    }
}
