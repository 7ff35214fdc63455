import Attribution
import BPF
import Logging
import Operations
import Synchronization
import Telemetry

/// Tells the programs which cgroup is the kubelet's, whenever the kubelet makes it or one of its QoS classes; and which
/// are other kubelets'.
///
/// The programs take nothing in a new kubepods cgroup for a pod until they know it. The kubelet makes pods' cgroups
/// some time after their root, and the root's event is handled within microseconds.
final class KubepodsKeeper: Sendable {
    private let root: KubepodsRoot
    /// The cgroups whose appearance changes what the programs must know.
    private let paths: Set<[UInt8]>
    private let current: Mutex<KubepodsCgroup>
    /// The trees of others that the log has.
    private let reported = Mutex<Set<OtherKubepods>>([])
    private let cgroups: CgroupFileSystem
    private let datapath: Datapath
    private let incidents: CounterTable<Incident>
    private let logger: Logger
    private let isYielded: @Sendable () -> Bool
    private let rootChanged: @Sendable () -> Void

    /// `current` is what the programs know. `isYielded` says whether another agent tells them. `rootChanged` is called after
    /// they know another root.
    init(
        root: KubepodsRoot, current: KubepodsCgroup, cgroups: CgroupFileSystem, datapath: Datapath,
        incidents: CounterTable<Incident>, logger: Logger, isYielded: @escaping @Sendable () -> Bool,
        rootChanged: @escaping @Sendable () -> Void
    ) {
        self.root = root
        self.paths = Set(root.qosClassPaths + [root.path])
        self.current = Mutex(current)
        self.cgroups = cgroups
        self.datapath = datapath
        self.incidents = incidents
        self.logger = logger
        self.isYielded = isYielded
        self.rootChanged = rootChanged
    }

    /// A cgroup was made: nothing to do, unless it is the root, a QoS class, or another kubelet's root.
    func observe(_ path: [UInt8]) {
        if paths.contains(path) {
            check()
        } else if KubepodsRoot(ifNamed: path) != nil {
            checkOthers()
        }
    }

    /// Looks for the trees of others, and tells the programs which there are. At the start it does so for another agent as well,
    /// which has told them of changes that this one has just written over.
    ///
    /// A walk of everything outside of kubepods: some milliseconds on a node with hundreds of services.
    func checkOthers(atStart: Bool = false) {
        guard atStart || !isYielded() else { return }
        let found: [OtherKubepods]
        do throws(BPFError) {
            found = try OtherKubepods.all(beside: root, in: cgroups)
            try current.withLock { current throws(BPFError) in
                var new = current
                new.others = found.map(\.tree)
                guard new != current, atStart || !isYielded() else { return }
                try datapath.setKubepods(new)
                current = new
            }
        } catch {
            return logger.error("pods of other kubepods cgroups are not blocked", metadata: ["reason": "\(error)"])
        }
        if found.count > KubepodsCgroup.othersMax {
            logger.error(
                "more kubepods cgroups than the programs can know: pods of the last ones are not blocked",
                metadata: ["kubepods": "\(found.count)", "limit": "\(KubepodsCgroup.othersMax)"])
        }
        report(found)
    }

    /// Returns when no write is under way that began before another agent told the programs.
    func settle() { current.withLock { _ in } }

    private func report(_ found: [OtherKubepods]) {
        let new = reported.withLock { reported in
            defer { reported = Set(found) }
            return found.filter { !reported.contains($0) }
        }
        for other in new {
            incidents.increment(.otherKubepods)
            logger.warning(
                "another kubepods cgroup is on this node: its pods get no identity, and reach no protected address",
                metadata: ["kubepods": "\(other.root)", "own": "\(root)", "cgroup": "\(other.tree.id)"])
        }
    }

    /// Compares with what is there, and tells the programs what has changed. At the start it does so for another agent as well.
    func check(atStart: Bool = false) {
        guard atStart || !isYielded() else { return }
        // While the cgroup is gone it has no tasks, so nothing has to be told to the programs.
        guard let id = cgroups.id(of: root.path) else { return }
        let qosClasses = KubepodsSearch.qosClasses(of: root, in: cgroups)
        let isNewRoot: Bool? = current.withLock { current in
            guard atStart || !isYielded() else { return nil }
            var found = current
            found.qosClasses = qosClasses
            do throws(BPFError) {
                if id != current.id {
                    guard let located = try cgroups.locate(root.path) else { return nil }
                    (found.id, found.level) = located
                }
                guard found != current else { return nil }
                try datapath.setKubepods(found)
            } catch {
                logger.error("the programs do not know the kubepods cgroup", metadata: ["reason": "\(error)"])
                return nil
            }
            defer { current = found }
            return found.id != current.id
        }
        guard isNewRoot == true else { return }
        incidents.increment(.kubepodsRecreated)
        logger.notice("the kubepods cgroup was made again", metadata: ["kubepods": "\(root)", "cgroup": "\(id)"])
        rootChanged()
    }
}
