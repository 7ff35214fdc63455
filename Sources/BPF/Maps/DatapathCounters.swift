import CBPFPrograms
import CLibbpf
import Glibc

/// The kernel programs' counts since they were first attached, summed over all CPUs.
package struct DatapathCounters: Sendable, Equatable {
    /// The counters by name, in the order of `enum nid_stat`.
    package let values: [(name: String, value: UInt64)]

    /// Names of `enum nid_stat`, in its order.
    package static let names = [
        "redirected", "refused_port", "refused_no_note", "refused_creator", "refused_policy", "refused_namespace",
        "refused_device", "refused_other_tree", "refused_bind", "refused_waiting", "passed_through", "held",
        "held_dropped", "held_expired", "dropped_off_loopback", "tagged", "untagged", "mismatched",
        "cgroup_event_lost", "namespace_event_lost", "dropped_egress", "dropped_forward", "dropped_translated",
        "dropped_routed", "dropped_uplink",
    ]

    package subscript(name: String) -> UInt64 {
        values.first { $0.name == name }?.value ?? 0
    }

    /// Reads the counts of all processors, and adds what the host guard's nftables table dropped in its programs' place.
    init(reading map: PerProcessorMap<UInt32>, droppedByTable: [String: UInt64] = [:]) throws(BPFError) {
        var values: [(name: String, value: UInt64)] = []
        for (index, name) in Self.names.enumerated() {
            let counts = try map.values(of: UInt32(index), "read the counter \(name)")
            values.append((name, counts.reduce(droppedByTable[name] ?? 0, &+)))
        }
        self.values = values
    }

    package static func == (left: DatapathCounters, right: DatapathCounters) -> Bool {
        left.values.elementsEqual(right.values) { $0 == $1 }
    }
}
