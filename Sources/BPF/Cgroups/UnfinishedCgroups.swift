package import Attribution

/// Cgroups that were reported, and that the kernel does not find by their ID yet.
///
/// The kernel reports a cgroup a moment before it makes it visible, and a reader on another CPU may be faster: often so
/// on Linux 6.1 with two CPUs. No event reports the moment itself, so they are looked for again until they are there.
package struct UnfinishedCgroups {
    private var attempts: [CgroupID: Int] = [:]

    /// How many there can be at once.
    package static let capacity = 1024
    /// How often one is looked for, at intervals of ``PollThread/retryInterval``: about 100 ms. After that it is gone,
    /// and its removal was lost.
    package static let maxAttempts = 100

    package init() {}

    package var isEmpty: Bool { attempts.isEmpty }

    /// Notes a cgroup that was not found. `false` if there are too many.
    package mutating func insert(_ id: CgroupID) -> Bool {
        guard attempts.count < Self.capacity else { return false }
        attempts[id] = 0
        return true
    }

    /// Forgets a cgroup that was removed, perhaps before it was found.
    package mutating func remove(_ id: CgroupID) {
        attempts[id] = nil
    }

    /// Looks for all of them once more, and returns those that are there now, parents before their children.
    package mutating func takeFound(_ isThere: (CgroupID) -> Bool) -> [CgroupID] {
        var found: [CgroupID] = []
        for (id, count) in attempts {
            if isThere(id) {
                found.append(id)
                attempts[id] = nil
            } else {
                attempts[id] = count + 1 < Self.maxAttempts ? count + 1 : nil
            }
        }
        return found.sorted { $0.rawValue < $1.rawValue }
    }
}
