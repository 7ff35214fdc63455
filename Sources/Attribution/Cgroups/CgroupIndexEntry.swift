/// One line of the debug dump: a cgroup that the index knows.
package struct CgroupIndexEntry: Sendable, Hashable {
    package var id: CgroupID
    /// Bytes, not text: names in cgroupfs are what their maker wanted. Escape before printing.
    package var path: [UInt8]
    package var uid: PodUID
    /// The container's ID, for a container-level cgroup whose name carries one.
    package var containerID: String?
    /// `.pod` or `.container`; deeper cgroups are not indexed.
    package var kind: PodCgroupPath.Level

    package init(
        id: CgroupID, path: [UInt8], uid: PodUID, containerID: String? = nil, kind: PodCgroupPath.Level
    ) {
        self.id = id
        self.path = path
        self.uid = uid
        self.containerID = containerID
        self.kind = kind
    }
}

/// Counts of a cgroup index's changes since it was made.
package struct CgroupIndexCounters: Sendable, Hashable {
    /// Look-ups whose pod-level cgroup was known.
    package var hits: UInt64
    /// Look-ups whose pod-level cgroup had to be resolved by its ID.
    package var resolved: UInt64
    /// Look-ups that found no pod-level cgroup.
    package var unresolved: UInt64
    /// Cgroups that were not kept because their pod, or the index, was full, or their name was too long.
    package var refusedByLimit: UInt64

    package init(hits: UInt64 = 0, resolved: UInt64 = 0, unresolved: UInt64 = 0, refusedByLimit: UInt64 = 0) {
        self.hits = hits
        self.resolved = resolved
        self.unresolved = unresolved
        self.refusedByLimit = refusedByLimit
    }
}
