package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Netlink

/// The contents of the pinned maps, read without an agent.
package struct PinnedMaps: Sendable {
    private let pins: PinDirectory

    package init(below pins: PinDirectory) {
        self.pins = pins
    }

    private func open(_ map: String) throws(BPFError) -> FileDescriptor {
        let path = "\(pins.maps)/\(map)"
        return unsafe try FileDescriptor(owning: bpf_obj_get(path), "open the map pinned at \(path)")
    }

    /// The kubepods cgroup that the programs compare with, and the trees of others that they refuse; `nil` while they
    /// know none.
    package func kubepods() throws(BPFError) -> KubepodsCgroup? {
        let map = try open("nid_settings")
        var key: UInt32 = 0
        var value = nid_settings()
        try check(unsafe bpf_map_lookup_elem(map.rawValue, &key, &value), "read the programs' settings")
        guard value.kubepods_id != 0 else { return nil }
        let others = unsafe withUnsafeBytes(of: &value.others) { buffer in
            unsafe buffer.bindMemory(to: nid_tree.self).filter { $0.id != 0 }.map {
                KubepodsCgroup.OtherTree(id: CgroupID(rawValue: $0.id), level: Int($0.level))
            }
        }
        return KubepodsCgroup(
            id: CgroupID(rawValue: value.kubepods_id), level: Int(value.kubepods_level), others: others)
    }

    /// The packets that the guard in the node's network namespace has dropped since it was installed.
    package func packetsDroppedByHostGuard() throws(BPFError) -> UInt64 {
        let map = try open("nid_stats")
        let table = (try? Nftables())?.droppedByHostGuard ?? [:]
        let counters = try DatapathCounters(readingMap: map.rawValue, droppedByTable: table)
        return ["dropped_forward", "dropped_translated", "dropped_routed"].reduce(0) { $0 + counters[$1] }
    }

    /// The pod-level cgroups with a policy of their own.
    package func policies() throws(BPFError) -> [(pod: CgroupID, policy: PodPolicy?)] {
        let map = try open("nid_policies")
        var found: [(CgroupID, PodPolicy?)] = []
        var key: UInt64 = 0
        var next: UInt64 = 0
        var result = unsafe bpf_map_get_next_key(map.rawValue, nil, &next)
        while result == 0, found.count < Int(NID_PODS_MAX) {
            var value: UInt32 = 0
            key = next
            if unsafe bpf_map_lookup_elem(map.rawValue, &key, &value) == 0 {
                found.append((CgroupID(rawValue: key), PodPolicy.allCases.first { $0.rawKernelValue == value }))
            }
            result = unsafe bpf_map_get_next_key(map.rawValue, &key, &next)
        }
        return found
    }

    /// Forgets what the programs keep for a pod-level cgroup that was only made to probe them.
    package func forget(probe cgroup: CgroupID) {
        guard let map = try? open("nid_connections") else { return }
        var key = cgroup.rawValue
        unsafe bpf_map_delete_elem(map.rawValue, &key)
    }
}
