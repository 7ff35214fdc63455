import Attribution
import BPF
import Logging

/// Keeps the cgroup index equal to the hierarchy: events first, then one walk, and a walk again when events were lost.
final class CgroupTracking: Sendable {
    let mechanism: String
    private let source: any CgroupEventSource

    /// Levels below the kubepods root at which something names a pod or a container.
    private static let depth = 4

    init(
        index: CgroupIndex, root: KubepodsRoot, cgroups: CgroupFileSystem, pins: PinDirectory,
        datapath: Datapath, enforcement: PolicyEnforcement, logger: Logger
    ) throws(BPFError) {
        let groupPaths = Set(root.groupPaths)
        let handle: @Sendable (CgroupEvent) -> Void = { event in
            switch event {
            case .made(let id):
                guard let path = cgroups.path(of: id) else { return }
                index.observe(id, path: path)
                enforcement.observe(id, path: path)
                if groupPaths.contains(path) {
                    Self.refreshGroups(root, cgroups: cgroups, datapath: datapath, logger: logger)
                }
            case .removed(let id):
                index.remove(id)
                enforcement.remove(id)
            case .lost:
                logger.warning("cgroup events were lost, walking the hierarchy")
                Self.walk(index, root: root, cgroups: cgroups, enforcement: enforcement)
                enforcement.sweep(cgroups)
            }
        }
        do throws(BPFError) {
            source = try TracepointCgroupEvents(pinDirectory: pins, handle: handle)
        } catch {
            logger.notice(
                "cgroup tracepoints are not available, using inotify", metadata: ["reason": "\(error)"]
            )
            source = try InotifyCgroupEvents(cgroups: cgroups, root: root.path, depth: Self.depth, handle: handle)
        }
        mechanism = source.mechanism
        enforcement.adopt(from: cgroups)
        Self.walk(index, root: root, cgroups: cgroups, enforcement: enforcement)
        Self.refreshGroups(root, cgroups: cgroups, datapath: datapath, logger: logger)
    }

    /// The kubelet makes its QoS classes when it starts, which may be later than the agent.
    private static func refreshGroups(
        _ root: KubepodsRoot, cgroups: CgroupFileSystem, datapath: Datapath, logger: Logger
    ) {
        guard let id = cgroups.id(of: root.path) else { return }
        do throws(BPFError) {
            try datapath.setKubepods(KubepodsSearch.cgroup(id, of: root, in: cgroups))
        } catch {
            logger.error("the programs do not know the QoS cgroups", metadata: ["reason": "\(error)"])
        }
    }

    static func walk(
        _ index: CgroupIndex, root: KubepodsRoot, cgroups: CgroupFileSystem, enforcement: PolicyEnforcement? = nil
    ) {
        // A walk that was outrun by removals counts for nothing. Look-ups by ID cover what three could not settle.
        for _ in 0..<3 {
            let walk = index.beginWalk()
            let found = cgroups.walk(below: root.path, depth: depth) { path in
                // What is below a container is the workload's own.
                root.parse(path).map { $0.level == .pod } ?? true
            }
            for cgroup in found { enforcement?.observe(cgroup.id, path: cgroup.path) }
            if index.replace(with: found.map { ($0.id, $0.path) }, since: walk) { return }
        }
    }

    func stop() {
        source.stop()
    }
}
