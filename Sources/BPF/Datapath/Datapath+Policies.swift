package import Attribution
import CBPFPrograms
import CLibbpf

/// The kernel's tables by pod-level cgroup.
extension Datapath {
    /// The policies that are not `.attribute`, by pod-level cgroup. Walks the table: for the start of an agent and the
    /// debug dump.
    package func policiesByPod() -> [CgroupID: PodPolicy] {
        maps.policies.policiesByPod()
    }

    /// The kernel's counts of each pod's connections, by pod-level cgroup. Walks the table.
    package func trafficByPod() -> [CgroupID: PodTraffic] {
        maps.connections.trafficByPod()
    }

    /// Forgets what is kept for pods whose pod-level cgroup was removed without an event.
    ///
    /// - Parameter isLive: Whether there is a cgroup with this ID. IDs are not used again, so that a cgroup that is
    /// gone
    ///   stays gone.
    /// - Returns: How many pods were forgotten.
    @discardableResult
    package func prune(keeping isLive: (CgroupID) -> Bool) -> Int {
        let dead = maps.connections.keys().union(maps.policies.keys()).map { CgroupID(rawValue: $0) }
            .filter { !isLive($0) }
        for id in dead { forget(pod: id) }
        return dead.count
    }
}

extension BPFMap<UInt64, UInt32> {
    /// The table of policies, as pods'.
    func policiesByPod() -> [CgroupID: PodPolicy] {
        let found = entries().compactMap { id, value in
            PodPolicy(rawKernelValue: value).map { (CgroupID(rawValue: id), $0) }
        }
        return Dictionary(uniqueKeysWithValues: found)
    }
}

extension BPFMap<UInt64, nid_pod_connections> {
    /// The table of connections, as pods'.
    func trafficByPod() -> [CgroupID: PodTraffic] {
        Dictionary(uniqueKeysWithValues: entries().map { (CgroupID(rawValue: $0), PodTraffic($1)) })
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
