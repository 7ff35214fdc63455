/// The policies that the kernel has for pod-level cgroups, and those that it should have.
///
/// Cgroups and pod records arrive in any order. As large as the set of pod-level cgroups, which only the kubelet makes.
package struct PolicyBindings: Sendable {
    /// One write that the kernel needs.
    package struct Change: Sendable, Hashable {
        package var cgroup: CgroupID
        package var policy: PodPolicy

        package init(cgroup: CgroupID, policy: PodPolicy) {
            self.cgroup = cgroup
            self.policy = policy
        }
    }

    /// The kernel's policies that are not `.attribute`.
    package private(set) var installed: [CgroupID: PodPolicy] = [:]
    private var uids: [CgroupID: PodUID] = [:]
    private var cgroups: [PodUID: Set<CgroupID>] = [:]
    /// Whether another agent's rules count, and no write is needed of this one.
    package var isYielded = false

    package init() {}

    package var count: Int { self.uids.count }

    /// The pod of a known cgroup.
    package func uid(of id: CgroupID) -> PodUID? { self.uids[id] }

    /// Notes what the kernel has, from another agent as well.
    package mutating func adopt(_ policies: [CgroupID: PodPolicy]) {
        self.installed = policies.filter { $0.value != .attribute }
    }

    /// Notes a write that succeeded.
    package mutating func note(_ change: Change) {
        self.installed[change.cgroup] = change.policy == .attribute ? nil : change.policy
    }

    /// Notes a pod-level cgroup. Says whether it was new.
    @discardableResult
    package mutating func bind(_ id: CgroupID, to uid: PodUID) -> Bool {
        guard self.uids[id] != uid else { return false }
        self.uids[id] = uid
        self.cgroups[uid, default: []].insert(id)
        return true
    }

    /// Forgets a cgroup that is gone.
    package mutating func remove(_ id: CgroupID) {
        self.installed[id] = nil
        guard let uid = self.uids.removeValue(forKey: id) else { return }
        self.cgroups[uid]?.remove(id)
        if self.cgroups[uid]?.isEmpty == true { self.cgroups[uid] = nil }
    }

    /// The cgroups that are known, or that the kernel has a policy for.
    package var known: Set<CgroupID> { Set(self.uids.keys).union(self.installed.keys) }

    /// The writes that the kernel needs, for one pod or for all of them (`nil`).
    ///
    /// - Parameters:
    ///   - uid: As the cgroup's name carries it.
    ///   - isSynced: Whether the pod list has been seen. Until then what an earlier agent installed stands.
    ///   - standing: What the pod list says about a UID.
    /// - Returns: At most one write for each cgroup.
    package func changes(
        for uid: PodUID?, isSynced: Bool, standing: (PodUID) -> PodStanding
    ) -> [Change] {
        guard !self.isYielded else { return [] }
        guard let uid else {
            return self.cgroups.keys.flatMap { self.changes(for: $0, isSynced: isSynced, standing: standing) }
        }
        guard let ids = self.cgroups[uid] else { return [] }
        let standing = standing(uid)
        return ids.compactMap { id in
            let present = self.installed[id] ?? .attribute
            let wanted = Self.policy(of: standing, present: present, isSynced: isSynced)
            return wanted == present ? nil : Change(cgroup: id, policy: wanted)
        }
    }

    /// A pod that is not, or no longer, in the pod list keeps a refusal, but not the way past the agent.
    private static func policy(of standing: PodStanding, present: PodPolicy, isSynced: Bool) -> PodPolicy {
        switch standing {
        // Labels and ServiceAccount of an object that was not read to its end are not known: no way past the agent.
        case .known(let pod) where pod.isTooLarge: pod.policy == .deny || present == .deny ? .deny : .attribute
        case .known(let pod): pod.policy
        case .unknown where !isSynced: present
        case .unknown, .terminated: present == .deny ? .deny : .attribute
        }
    }
}

extension PodEvent {
    /// The UIDs, as cgroups' names carry them, that the event can concern; `nil`: any.
    package var concernedUIDs: [PodUID]? {
        guard case .updated(let pod) = self else { return nil }
        return [pod.uid, pod.mirroredUID].compactMap { $0 }
    }
}
