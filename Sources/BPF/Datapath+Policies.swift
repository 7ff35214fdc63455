package import Attribution
import CBPFPrograms
import CLibbpf

/// The kernel's tables by pod-level cgroup.
extension Datapath {
    /// The policies that are not `.attribute`, by pod-level cgroup. Walks the table: for the start of an agent and the
    /// debug dump.
    package func policiesByPod() -> [CgroupID: PodPolicy] {
        var found: [CgroupID: PodPolicy] = [:]
        for id in Self.keys(of: policies) {
            var key = id
            var value: UInt32 = 0
            guard unsafe bpf_map_lookup_elem(policies, &key, &value) == 0,
                let policy = PodPolicy(rawKernelValue: value)
            else { continue }
            found[CgroupID(rawValue: id)] = policy
        }
        return found
    }

    /// The kernel's counts of each pod's connections, by pod-level cgroup. Walks the table.
    package func trafficByPod() -> [CgroupID: PodTraffic] {
        var found: [CgroupID: PodTraffic] = [:]
        for id in Self.keys(of: connections) {
            let pod = CgroupID(rawValue: id)
            found[pod] = traffic(ofPod: pod)
        }
        return found
    }

    /// Forgets what is kept for pods whose pod-level cgroup was removed without an event.
    ///
    /// - Parameter isLive: Whether there is a cgroup with this ID. IDs are not used again, so that a cgroup that is
    /// gone
    ///   stays gone.
    /// - Returns: How many pods were forgotten.
    @discardableResult
    package func prune(keeping isLive: (CgroupID) -> Bool) -> Int {
        let dead = Self.keys(of: connections).union(Self.keys(of: policies)).map { CgroupID(rawValue: $0) }
            .filter { !isLive($0) }
        for id in dead { forget(pod: id) }
        return dead.count
    }

    /// Every key of a table by cgroup ID or cookie. A key that is deleted meanwhile makes the kernel begin again, hence
    /// the set and the bound.
    static func keys(of map: CInt, atMost limit: Int = Int(NID_PODS_MAX)) -> Set<UInt64> {
        var keys: Set<UInt64> = []
        var key: UInt64 = 0
        var next: UInt64 = 0
        var result = unsafe bpf_map_get_next_key(map, nil, &next)
        var steps = 0
        while result == 0, steps < 4 * limit {
            keys.insert(next)
            key = next
            steps += 1
            result = unsafe bpf_map_get_next_key(map, &key, &next)
        }
        return keys
    }
}

extension PodPolicy {
    var rawKernelValue: UInt32 {
        switch self {
        case .attribute: NID_POLICY_ATTRIBUTE.rawValue
        case .passthrough: NID_POLICY_PASSTHROUGH.rawValue
        case .deny: NID_POLICY_DENY.rawValue
        }
    }

    init?(rawKernelValue: UInt32) {
        guard let policy = Self.allCases.first(where: { $0.rawKernelValue == rawKernelValue }) else { return nil }
        self = policy
    }
}
