import Attribution
import BPF
import Enforcement
import Operations

/// The agent's listeners by pod, as the views show them.
struct ListenerPlaces {
    private var ofPods: [PodUID: [ConnectionDump.Listener]] = [:]
    private let ofNode: [ConnectionDump.Listener]

    /// Sorts the open namespaces by the pods whose cgroups these are.
    init(_ open: [NamespaceRegistry.Entry], of cgroups: [CgroupIndexEntry]) {
        ofNode = open.filter { $0.pod == nil }.map { ConnectionDump.Listener($0) }
        for cgroup in cgroups where cgroup.kind == .pod {
            let own = open.filter { $0.pod == cgroup.id }.map { ConnectionDump.Listener($0) }
            ofPods[cgroup.uid, default: []] += own
        }
    }

    /// The listeners in a pod's namespaces, and the node's for a pod with the host's network.
    func listeners(for uid: PodUID, isHostNetwork: Bool) -> [ConnectionDump.Listener] {
        (ofPods[uid] ?? []) + (isHostNetwork ? ofNode : [])
    }
}

extension ConnectionDump.Listener {
    fileprivate init(_ entry: NamespaceRegistry.Entry) {
        self.init(
            networkNamespace: entry.id.inode, port: entry.port, ipv4: entry.families.contains(.ipv4),
            ipv6: entry.families.contains(.ipv6))
    }
}
