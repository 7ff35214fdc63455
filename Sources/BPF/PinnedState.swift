package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc

/// The objects that an agent, running or ended, left in the BPF file system, read without loading anything.
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
        hooks = pins.entries(of: pins.links).sorted()
        kubepods = try Self.kubepods(pins)
        connections = try Self.values(of: "nid_connections", in: pins, nid_pod_connections()).mapValues(PodTraffic.init)
        policies = try Self.values(of: "nid_policies", in: pins, 0 as UInt32).compactMapValues { value in
            PodPolicy.allCases.first { $0.rawKernelValue == value }
        }
    }

    private static func kubepods(_ pins: PinDirectory) throws(BPFError) -> CgroupID? {
        guard let map = try open("nid_settings", in: pins) else { return nil }
        var key: UInt32 = 0
        var value = nid_settings()
        try check(unsafe bpf_map_lookup_elem(map.rawValue, &key, &value), "read the map nid_settings")
        return value.kubepods_id == 0 ? nil : CgroupID(rawValue: value.kubepods_id)
    }

    private static func values<Value: BitwiseCopyable>(
        of name: String, in pins: PinDirectory, _ none: Value
    ) throws(BPFError) -> [CgroupID: Value] {
        guard let map = try open(name, in: pins) else { return [:] }
        var values: [CgroupID: Value] = [:]
        var key: UInt64 = 0
        var next: UInt64 = 0
        var result = unsafe bpf_map_get_next_key(map.rawValue, nil, &next)
        // The table's size bounds the walk even while entries come and go.
        while result == 0, values.count < Int(NID_PODS_MAX) {
            key = next
            var value = none
            if unsafe bpf_map_lookup_elem(map.rawValue, &key, &value) == 0 { values[CgroupID(rawValue: key)] = value }
            result = unsafe bpf_map_get_next_key(map.rawValue, &key, &next)
        }
        return values
    }

    /// The map pinned as `name`; `nil` if there is none.
    private static func open(_ name: String, in pins: PinDirectory) throws(BPFError) -> FileDescriptor? {
        let path = pins.maps + "/" + name
        let descriptor = unsafe bpf_obj_get(path)
        if descriptor < 0, errno == ENOENT { return nil }
        return try FileDescriptor(owning: descriptor, "open the map pinned at \(path)")
    }
}
