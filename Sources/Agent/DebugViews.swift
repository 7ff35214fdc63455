import Attribution
import BPF
import FoundationEssentials
import KubernetesAPI
import Operations
import Tokens

/// What the admin socket shows.
struct DebugViews: Sendable {
    let configuration: AgentConfiguration
    let root: KubepodsRoot
    let index: CgroupIndex
    let directory: PodDirectory
    let watcher: PodWatcher
    let tokens: TokenService
    let counters: RequestCounters
    let datapath: DatapathSlot

    var views: [String: AdminServer.View] {
        [
            "/debug/cgroups": { try Self.encode(cgroups) },
            "/debug/status": { try Self.encode(status) },
        ]
    }

    private var cgroups: CgroupDump {
        CgroupDump(node: configuration.nodeName, kubepods: root.description, entries: index.snapshot()) { uid in
            directory.record(for: uid)
        }
    }

    private var status: AgentStatus {
        let watch = watcher.status
        let datapath = datapath.current
        let kernel = try? datapath?.counters()
        let connections = datapath?.connectionsByPod() ?? [:]
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
            pendingHandovers: datapath?.pendingHandovers() ?? 0,
            pods: directory.count,
            cgroups: index.count,
            connectionCounts: connections.count,
            policies: datapath?.policiesByPod().count ?? 0,
            connections: connections.values.reduce(0, +),
            tokenEntries: tokens.snapshot().count,
            podsSynced: watch.isSynced,
            podWatchError: watch.lastError,
            podWatchSilentSeconds: watch.lastContact.map { (ContinuousClock.now - $0).components.seconds }
        )
    }

    private static func encode(_ view: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(view))
    }
}
