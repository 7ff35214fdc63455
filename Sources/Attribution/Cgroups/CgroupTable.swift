/// The state of a cgroup index, and every decision about it; the index adds the lock and the resolver.
///
/// Two hash tables, pods and containers, whose entries together number at most `limit`.
struct CgroupTable: Sendable {
    struct Pod: Sendable {
        var uid: PodUID
        var depth: Int
        var path: [UInt8]
        var containers: Set<CgroupID> = []
        /// The last walk that had begun when this cgroup was last seen.
        var generation: UInt64
    }

    struct Container: Sendable {
        var pod: CgroupID
        var name: [UInt8]
        var containerID: String?
        var generation: UInt64
    }

    /// The answer to a tag, as far as the table knows it. `removals` tells later whether an answer that a resolver
    /// gives meanwhile may be kept.
    enum Match: Sendable, Equatable {
        case complete(AttributedCgroup)
        /// The pod is known, the cgroup below it is not.
        case unlabelled(AttributedCgroup, container: CgroupID, removals: UInt64)
        case unknown(removals: UInt64)
    }

    struct Observation: Sendable {
        var id: CgroupID
        var path: [UInt8]
        var parsed: PodCgroupPath
    }

    /// How many levels below the kubepods root a pod-level cgroup can be.
    static let podDepths = 1...3
    /// How many cgroups directly below one pod's are kept: far more than containers in a pod, far fewer than would let
    /// one pod fill the table.
    static let containersPerPod = 256
    /// The longest name of a container-level cgroup that is kept, in bytes. Runtimes stay below 100; the kernel has no
    /// limit of its own.
    static let longestContainerName = 255

    let limit: Int
    private(set) var counters = CgroupIndexCounters()
    private(set) var pods: [CgroupID: Pod] = [:]
    private(set) var containers: [CgroupID: Container] = [:]
    /// The pod-level cgroup at each path: the latest, where the removal of an earlier one was missed.
    private var podsByPath: [[UInt8]: CgroupID] = [:]
    /// The count of removals, so that what a resolver said before one is not kept after it.
    private var removals: UInt64 = 0
    private var generation: UInt64 = 0
    /// The cgroups removed since the walk under way began; `nil` when none is.
    private var removedDuringWalk: Set<CgroupID>?

    init(limit: Int) {
        self.limit = limit
    }

    private var isFull: Bool { self.count >= self.limit }

    /// Cgroups of pods and of their containers.
    var count: Int { self.pods.count + self.containers.count }
}

// MARK: - Look-up

extension CgroupTable {
    mutating func match(_ tag: CallerTag) -> Match {
        for depth in Self.podDepths {
            guard let id = tag.ancestor(atDepth: depth) else { break }
            guard let pod = self.pods[id], pod.depth == depth else { continue }
            self.counters.hits += 1
            var cgroup = AttributedCgroup(cgroupID: id, uid: pod.uid)
            guard let containerID = tag.ancestor(atDepth: depth + 1) else { return .complete(cgroup) }
            guard let container = self.containers[containerID], container.pod == id else {
                // A pod that has used up its share goes without a label: resolving each time would let it make the
                // agent work for every request.
                guard pod.containers.count < Self.containersPerPod else { return .complete(cgroup) }
                return .unlabelled(cgroup, container: containerID, removals: self.removals)
            }
            cgroup.containerID = container.containerID
            return .complete(cgroup)
        }
        return .unknown(removals: self.removals)
    }

    mutating func countUnresolved() {
        self.counters.unresolved += 1
    }

    /// Keeps a pod-level cgroup that a look-up resolved, unless something was removed since the look-up began: then it
    /// may have been this cgroup, whose removal no later event would repeat.
    mutating func insertResolved(_ id: CgroupID, path: [UInt8], parsed: PodCgroupPath, removals: UInt64) {
        self.counters.resolved += 1
        guard self.removals == removals else { return }
        self.insertPod(id, path: path, parsed: parsed)
    }

    /// Keeps a container-level cgroup that a look-up resolved, on the same condition.
    mutating func insertLabel(
        _ id: CgroupID, of pod: CgroupID, path: [UInt8], parsed: PodCgroupPath, removals: UInt64
    ) {
        guard self.removals == removals else { return }
        self.insertContainer(id, of: pod, path: path, parsed: parsed)
    }
}

// MARK: - Events

extension CgroupTable {
    mutating func insert(_ id: CgroupID, path: [UInt8], parsed: PodCgroupPath) {
        switch parsed.level {
        case .pod:
            self.insertPod(id, path: path, parsed: parsed)
        case .container:
            let parent = path.prefix(upTo: path.lastIndex(of: .slash) ?? path.startIndex)
            guard let pod = self.podsByPath[Array(parent)] else { return }
            self.insertContainer(id, of: pod, path: path, parsed: parsed)
        case .below:
            break
        }
    }

    private mutating func insertPod(_ id: CgroupID, path: [UInt8], parsed: PodCgroupPath) {
        if self.pods[id]?.path == path {
            self.pods[id]?.generation = self.generation
            return
        }
        self.drop(id)
        guard !self.isFull else {
            self.counters.refusedByLimit += 1
            return
        }
        self.pods[id] = Pod(uid: parsed.uid, depth: parsed.podDepth, path: path, generation: self.generation)
        self.podsByPath[path] = id
    }

    private mutating func insertContainer(_ id: CgroupID, of pod: CgroupID, path: [UInt8], parsed: PodCgroupPath) {
        guard let podPath = self.pods[pod]?.path, path.starts(with: podPath) else { return }
        let name = path.dropFirst(podPath.count + 1)
        self.drop(id)
        let siblings = self.pods[pod]?.containers.count ?? 0
        guard !self.isFull, siblings < Self.containersPerPod, name.count <= Self.longestContainerName else {
            self.counters.refusedByLimit += 1
            return
        }
        self.pods[pod]?.containers.insert(id)
        self.containers[id] = Container(
            pod: pod, name: Array(name), containerID: parsed.containerID, generation: self.generation
        )
    }

    mutating func remove(_ id: CgroupID) {
        self.removals += 1
        self.drop(id)
        guard let removed = self.removedDuringWalk else { return }
        if removed.count < self.limit {
            self.removedDuringWalk?.insert(id)
        } else {
            self.removedDuringWalk = nil
        }
    }

    private mutating func drop(_ id: CgroupID) {
        if let pod = self.pods.removeValue(forKey: id) {
            for container in pod.containers {
                self.containers[container] = nil
            }
            if self.podsByPath[pod.path] == id { self.podsByPath[pod.path] = nil }
        } else if let container = self.containers.removeValue(forKey: id) {
            self.pods[container.pod]?.containers.remove(id)
        }
    }
}

// MARK: - Walks

extension CgroupTable {
    mutating func beginWalk() -> UInt64 {
        self.generation += 1
        self.removedDuringWalk = []
        return self.generation
    }

    mutating func replace(with met: [Observation], since generation: UInt64) -> Bool {
        guard generation == self.generation, let removed = self.removedDuringWalk else { return false }
        self.removedDuringWalk = nil
        let live = met.filter { !removed.contains($0.id) }
        for cgroup in live {
            self.pods[cgroup.id]?.generation = generation
            self.containers[cgroup.id]?.generation = generation
        }
        // Cgroups that are gone make room before new ones come in.
        for (id, pod) in self.pods where pod.generation < generation { self.drop(id) }
        for (id, container) in self.containers where container.generation < generation { self.drop(id) }
        for cgroup in live where cgroup.parsed.level == .pod {
            self.insert(cgroup.id, path: cgroup.path, parsed: cgroup.parsed)
        }
        for cgroup in live where cgroup.parsed.level == .container && self.containers[cgroup.id] == nil {
            self.insert(cgroup.id, path: cgroup.path, parsed: cgroup.parsed)
        }
        return true
    }
}

// MARK: - Views

extension CgroupTable {
    func entries() -> [CgroupIndexEntry] {
        var entries = self.pods.map { id, pod in
            CgroupIndexEntry(id: id, path: pod.path, uid: pod.uid, kind: .pod)
        }
        entries += self.containers.compactMap { id, container in
            self.pods[container.pod].map { pod in
                CgroupIndexEntry(
                    id: id,
                    path: pod.path + "/".utf8 + container.name,
                    uid: pod.uid,
                    containerID: container.containerID,
                    kind: .container
                )
            }
        }
        return entries.sorted {
            $0.path == $1.path ? $0.id < $1.id : $0.path.lexicographicallyPrecedes($1.path)
        }
    }
}
