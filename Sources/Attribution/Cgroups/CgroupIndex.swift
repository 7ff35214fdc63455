import Synchronization

/// The live map from the kernel's cgroup IDs to pod UIDs.
///
/// Events of cgroups being made and removed keep it fresh, and a walk rebuilds it when events were lost. Neither is
/// needed for it to be right: an ID that it does not know is resolved at look-up, since IDs are never reused within a
/// boot and a cgroup never moves. A look-up costs a few hash look-ups, at worst four resolutions, and nothing that
/// grows with the number of pods or cgroups.
package final class CgroupIndex: Sendable {
    private let root: KubepodsRoot
    private let resolver: any CgroupPathResolving
    private let table: Mutex<CgroupTable>

    /// - Parameters:
    ///   - root: The kubelet's kubepods cgroup, whose level is that of the tags' ancestors less one.
    ///   - resolver: Where cgroups are that no event told about.
    ///   - limit: The greatest number of cgroups kept. Beyond it pods are still attributed, by resolving each time.
    package init(root: KubepodsRoot, resolver: any CgroupPathResolving, limit: Int = 65_536) {
        self.root = root
        self.resolver = resolver
        self.table = Mutex(CgroupTable(limit: limit))
    }

    /// Notes a cgroup that was made or met on a walk. Whatever is not a pod's, or is deeper than a container, is
    /// ignored; so is a container whose pod is not known, which a look-up will resolve.
    package func observe(_ id: CgroupID, path: [UInt8]) {
        guard let parsed = self.root.parse(path) else { return }
        self.table.withLock { $0.insert(id, path: path, parsed: parsed) }
    }

    /// Notes that a cgroup was removed. A pod-level cgroup takes its containers' labels along.
    package func remove(_ id: CgroupID) {
        self.table.withLock { $0.remove(id) }
    }

    /// The pod-level cgroup that the caller was in; `nil` if it was in none or the cgroup is gone.
    package func pod(for tag: CallerTag) -> AttributedCgroup? {
        guard case .found(let cgroup) = self.lookUp(tag) else { return nil }
        return cgroup
    }

    /// The pod-level cgroup that the caller was in, or why there is none.
    ///
    /// The ancestors are tried from the root's side. A cgroup that another lies in cannot be removed before it, so the
    /// first one that no longer exists ends the search: everything below went earlier.
    package func lookUp(_ tag: CallerTag) -> CgroupFinding {
        switch self.table.withLock({ $0.match(tag) }) {
        case .complete(let cgroup):
            return .found(cgroup)
        case .unlabelled(let cgroup, let container, let removals):
            return .found(self.label(cgroup, as: container, removals: removals))
        case .unknown(let removals):
            return self.resolve(tag, removals: removals)
        }
    }

    private func resolve(_ tag: CallerTag, removals: UInt64) -> CgroupFinding {
        for depth in CgroupTable.podDepths {
            guard let id = tag.ancestor(atDepth: depth) else { break }
            guard let path = self.resolver.path(of: id) else {
                self.table.withLock { $0.countUnresolved() }
                return .gone
            }
            guard let parsed = self.root.parse(path), parsed.level == .pod, parsed.podDepth == depth else { continue }
            self.table.withLock { $0.insertResolved(id, path: path, parsed: parsed, removals: removals) }
            let cgroup = AttributedCgroup(cgroupID: id, uid: parsed.uid)
            guard let container = tag.ancestor(atDepth: depth + 1) else { return .found(cgroup) }
            return .found(self.label(cgroup, as: container, removals: removals))
        }
        self.table.withLock { $0.countUnresolved() }
        return .notInPod
    }

    /// Adds the label that the cgroup below the pod's gives; the pod is attributed with or without one.
    private func label(_ cgroup: AttributedCgroup, as container: CgroupID, removals: UInt64) -> AttributedCgroup {
        guard let path = self.resolver.path(of: container), let parsed = self.root.parse(path),
            parsed.level == .container, parsed.uid == cgroup.uid
        else { return cgroup }
        self.table.withLock {
            $0.insertLabel(container, of: cgroup.cgroupID, path: path, parsed: parsed, removals: removals)
        }
        var labelled = cgroup
        labelled.containerID = parsed.containerID
        return labelled
    }
}

// MARK: - Walks

extension CgroupIndex {
    /// A walk of the cgroup hierarchy that is under way.
    package struct Walk: Sendable {
        let generation: UInt64
    }

    /// Call before reading the hierarchy. A later walk supersedes an earlier one that is still under way.
    package func beginWalk() -> Walk {
        Walk(generation: self.table.withLock { $0.beginWalk() })
    }

    /// Makes the index equal to what a walk found, except where an event knows better.
    ///
    /// A walk takes time, so what it lists is older than events that came in since it began: a cgroup observed
    /// meanwhile stays although the walk did not meet it, and one removed meanwhile stays away although the walk did.
    /// Everything else that the walk did not meet is dropped.
    ///
    /// - Returns: Whether the walk counted. It does not, and must be repeated, when a later walk superseded it, or when
    ///   more cgroups were removed meanwhile than the index could remember.
    @discardableResult
    package func replace(with cgroups: [(CgroupID, [UInt8])], since walk: Walk) -> Bool {
        let met = cgroups.compactMap { id, path in
            self.root.parse(path).map { CgroupTable.Observation(id: id, path: path, parsed: $0) }
        }
        return self.table.withLock { $0.replace(with: met, since: walk.generation) }
    }
}

// MARK: - Views

extension CgroupIndex {
    /// Every cgroup that the index knows, ordered by path and then by ID, for a debug dump.
    package func snapshot() -> [CgroupIndexEntry] {
        self.table.withLock { $0 }.entries()
    }

    /// The number of cgroups that the index knows.
    package var count: Int {
        self.table.withLock { $0.count }
    }

    package var counters: CgroupIndexCounters {
        self.table.withLock { $0.counters }
    }
}

extension CallerTag {
    /// The caller's ancestor so many levels below the kubepods root, counted from 1.
    func ancestor(atDepth depth: Int) -> CgroupID? {
        guard depth <= Self.ancestorCount, self.ancestors[depth - 1] != 0 else { return nil }
        return CgroupID(rawValue: self.ancestors[depth - 1])
    }
}
