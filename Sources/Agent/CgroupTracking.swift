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
        index: CgroupIndex, root: KubepodsRoot, cgroups: CgroupFileSystem, pins: PinDirectory, logger: Logger
    ) throws(BPFError) {
        let handle: @Sendable (CgroupEvent) -> Void = { event in
            switch event {
            case .made(let id):
                if let path = cgroups.path(of: id) { index.observe(id, path: path) }
            case .removed(let id):
                index.remove(id)
            case .lost:
                logger.warning("cgroup events were lost, walking the hierarchy")
                Self.walk(index, root: root, cgroups: cgroups)
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
        Self.walk(index, root: root, cgroups: cgroups)
    }

    private static func walk(_ index: CgroupIndex, root: KubepodsRoot, cgroups: CgroupFileSystem) {
        // A walk that was outrun by removals counts for nothing. Look-ups by ID cover what three could not settle.
        for _ in 0..<3 {
            let walk = index.beginWalk()
            let found = cgroups.walk(below: root.path, depth: depth) { path in
                // What is below a container is the workload's own.
                root.parse(path).map { $0.level == .pod } ?? true
            }
            if index.replace(with: found.map { ($0.id, $0.path) }, since: walk) { return }
        }
    }

    func stop() {
        source.stop()
    }
}
