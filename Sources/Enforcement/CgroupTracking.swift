package import Attribution
package import BPF
package import Logging
package import Operations
package import Telemetry

/// Keeps the cgroup index equal to the hierarchy: events first, then one walk, and a walk again when events were lost.
package final class CgroupTracking: Sendable {
    package let mechanism: String
    private let source: any CgroupEventSource
    private let kubepods: KubepodsKeeper
    private let cgroups: CgroupFileSystem
    private let enforcement: PolicyEnforcement

    /// Levels below the kubepods root at which something names a pod or a container.
    private static let depth = 4

    package init(
        index: CgroupIndex, root: KubepodsRoot, kubepods: KubepodsCgroup, cgroups: CgroupFileSystem,
        pins: PinDirectory, datapath: Datapath, enforcement: PolicyEnforcement, namespaces: NamespaceKeeper,
        incidents: CounterTable<Incident>, logger: Logger
    ) throws(BPFError) {
        let keeper = KubepodsKeeper(
            root: root, current: kubepods, cgroups: cgroups, datapath: datapath, incidents: incidents, logger: logger,
            isYielded: { enforcement.isYielded }
        ) {
            // No event reported the cgroups that were made in the new one before the programs knew it.
            Self.walk(index, root: root, cgroups: cgroups, enforcement: enforcement)
            enforcement.sweep(cgroups)
        }
        self.kubepods = keeper
        self.cgroups = cgroups
        self.enforcement = enforcement
        let handle: @Sendable (CgroupEvent) -> Void = { event in
            switch event {
            case .made(let id):
                guard let path = cgroups.path(of: id) else { return }
                index.observe(id, path: path)
                enforcement.observe(id, path: path)
                keeper.observe(path)
            case .removed(let id):
                index.remove(id)
                enforcement.remove(id)
                namespaces.podEnded(id, datapath)
            case .emptied(let id): namespaces.podEmptied(id, datapath)
            case .lost:
                incidents.increment(.cgroupEventsLost)
                logger.warning("cgroup events were lost, walking the hierarchy")
                Self.walk(index, root: root, cgroups: cgroups, enforcement: enforcement)
                enforcement.sweep(cgroups)
                keeper.check()
                keeper.checkOthers()
                namespaces.checkPods(datapath)
            }
        }
        do throws(BPFError) {
            source = try TracepointCgroupEvents(pinDirectory: pins, cgroups: cgroups, handle: handle)
        } catch {
            logger.notice(
                "cgroup tracepoints are not available, using inotify", metadata: ["reason": "\(error)"]
            )
            source = try InotifyCgroupEvents(cgroups: cgroups, root: root.path, depth: Self.depth, handle: handle)
        }
        mechanism = source.mechanism
        enforcement.adopt(from: cgroups)
        Self.walk(index, root: root, cgroups: cgroups, enforcement: enforcement)
        keeper.check(atStart: true)
        keeper.checkOthers(atStart: true)
    }

    /// Whether the end of a pod's last process brings an event, and a lost event another one.
    var reportsEnds: Bool { source.reportsEnds }

    /// Looks whether the kubepods cgroup is still the one that the programs know: an event may have been lost, or never
    /// have come.
    func checkRoot() {
        kubepods.check()
    }

    /// Looks for kubepods cgroups of others: where inotify reports cgroups, nothing reports theirs.
    func checkOtherRoots() {
        kubepods.checkOthers()
    }

    /// Returns when no write is under way that began before another agent told the programs.
    func settle() {
        kubepods.settle()
    }

    /// Makes the programs know what this agent knows: until now another agent told them.
    package func reclaim() {
        enforcement.reclaim()
        // Pods have ended meanwhile, and the kubelet may have made one of its cgroups again.
        enforcement.sweep(cgroups)
        kubepods.check()
        kubepods.checkOthers()
    }

    static func walk(
        _ index: CgroupIndex, root: KubepodsRoot, cgroups: CgroupFileSystem, enforcement: PolicyEnforcement? = nil
    ) {
        // A walk that was outrun by removals counts for nothing. Look-ups by ID cover what three could not settle.
        for _ in 0..<3 {
            let walk = index.beginWalk()
            let found = cgroups.walk(below: root.path, depth: depth) { path in
                // Cgroups below a container are the workload's own.
                root.parse(path).map { $0.level == .pod } ?? true
            }
            for cgroup in found { enforcement?.observe(cgroup.id, path: cgroup.path) }
            if index.replace(with: found.map { ($0.id, $0.path) }, since: walk) { return }
        }
    }

    package func stop() {
        source.stop()
    }

    /// One walk, outside of any index.
    package static func read(_ cgroups: CgroupFileSystem, below root: KubepodsRoot) -> [CgroupIndexEntry] {
        let index = CgroupIndex(root: root, resolver: cgroups)
        walk(index, root: root, cgroups: cgroups)
        return index.snapshot()
    }
}
