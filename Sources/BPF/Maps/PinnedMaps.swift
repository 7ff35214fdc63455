package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Netlink

/// Reads the maps that an agent, running or ended, left in the BPF file system, without loading anything.
package struct PinnedMaps: Sendable {
    private let pins: PinDirectory

    package init(below pins: PinDirectory) {
        self.pins = pins
    }

    /// The kubepods cgroup that the programs compare with, and the trees of others that they refuse; `nil` while they
    /// know none.
    package func kubepods() throws(BPFError) -> KubepodsCgroup? {
        try existing("nid_settings", Self.kubepods)
    }

    /// The packets that the guard in the node's network namespace has dropped since it was installed.
    package func packetsDroppedByHostGuard() throws(BPFError) -> UInt64 {
        let table = (try? Nftables())?.droppedByHostGuard ?? [:]
        let counters = try existing("nid_stats") { (map: PerProcessorMap<UInt32>) throws(BPFError) in
            try DatapathCounters(reading: map, droppedByTable: table)
        }
        return ["dropped_forward", "dropped_translated", "dropped_routed"].reduce(0) { $0 + counters[$1] }
    }

    /// The pod-level cgroups with a policy of their own.
    package func policies() throws(BPFError) -> [(pod: CgroupID, policy: PodPolicy?)] {
        try existing("nid_policies") { (map: BPFMap<UInt64, UInt32>) in
            map.entries().map { (CgroupID(rawValue: $0), PodPolicy(rawKernelValue: $1)) }
        }
    }

    /// Forgets what the programs keep for a pod-level cgroup that was only made to probe them.
    package func forget(probe cgroup: CgroupID) {
        _ = try? with("nid_connections") { (map: BPFMap<UInt64, nid_pod_connections>) in map.remove(cgroup.rawValue) }
    }

    fileprivate static func kubepods(_ map: BPFMap<UInt32, nid_settings>) throws(BPFError) -> KubepodsCgroup? {
        var value = try map.value(of: 0, "read the programs' settings")
        guard value.kubepods_id != 0 else { return nil }
        let others = unsafe withUnsafeBytes(of: &value.others) { buffer in
            unsafe buffer.bindMemory(to: nid_tree.self).filter { $0.id != 0 }.map {
                KubepodsCgroup.OtherTree(id: CgroupID(rawValue: $0.id), level: Int($0.level))
            }
        }
        return KubepodsCgroup(
            id: CgroupID(rawValue: value.kubepods_id), level: Int(value.kubepods_level), others: others)
    }

    /// Opens the map pinned as `name` for `body`, or throws that there is none.
    private func existing<Table: KernelTable, Result>(
        _ name: String, _ body: (Table) throws(BPFError) -> Result
    ) throws(BPFError) -> Result {
        guard let result = try with(name, body) else {
            throw BPFError("open the map pinned at \(pins.maps)/\(name)", errorNumber: ENOENT)
        }
        return result
    }

    /// Opens the map pinned as `name` for `body`; `nil` if there is none.
    fileprivate func with<Table: KernelTable, Result>(
        _ name: String, _ body: (Table) throws(BPFError) -> Result
    ) throws(BPFError) -> Result? {
        let path = "\(pins.maps)/\(name)"
        let opened = unsafe bpf_obj_get(path)
        if opened < 0, errno == ENOENT { return nil }
        let descriptor = try FileDescriptor(owning: opened, "open the map pinned at \(path)")
        return try body(Table(descriptor.rawValue, name: name))
    }
}

/// The contents of the pinned maps at one moment, and the pinned hooks. A map that is not there is empty.
package struct PinnedState: Sendable, Equatable {
    /// The pinned attachments, sorted.
    package var hooks: [String]
    /// `nil`: no agent has told the programs yet, or nothing is pinned.
    package var kubepods: CgroupID?
    /// The kernel's counts of each pod's connections, by its pod-level cgroup.
    package var connections: [CgroupID: PodTraffic]
    /// Pods that are not simply attributed, by their pod-level cgroup.
    package var policies: [CgroupID: PodPolicy]

    /// Reads what is pinned.
    package init(reading pins: PinDirectory) throws(BPFError) {
        let maps = PinnedMaps(below: pins)
        hooks = pins.entries(of: pins.links).sorted()
        kubepods = try maps.with("nid_settings", PinnedMaps.kubepods).flatMap { $0?.id }
        connections =
            try maps.with("nid_connections") { (map: BPFMap<UInt64, nid_pod_connections>) in map.trafficByPod() } ?? [:]
        policies = try maps.with("nid_policies") { (map: BPFMap<UInt64, UInt32>) in map.policiesByPod() } ?? [:]
    }
}
