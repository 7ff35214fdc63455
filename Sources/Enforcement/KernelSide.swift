package import BPF
package import Logging
package import Operations
import Restart
import Synchronization
package import Telemetry

/// The kernel's side in a hot restart: the agent gives it to a successor, and takes it back from one that ended before it served.
package final class KernelSide: Yielding {
    private let datapath: AttachedDatapath
    private let namespaces: NamespaceKeeper
    private let enforcement: PolicyEnforcement
    private let incidents: CounterTable<Incident>
    private let logger: Logger
    private let held = Mutex<Held?>(nil)
    private let unfinished = Mutex<Unfinished?>(nil)
    private let ending = Atomic(false)

    private struct Held: Sendable {
        let pins: HeldPins
        let tracking: CgroupTracking
    }

    /// The rest that the last attempt to take everything back did not reach.
    private struct Unfinished: Sendable {
        enum Step: Sendable {
            case hooks
            case pins
        }

        /// The hooks that ran another process's programs when it began.
        var foreign: Set<String>
        /// The first step that failed: those before it are done.
        var step: Step
        var reason: BPFError
    }

    package init(
        datapath: AttachedDatapath, namespaces: NamespaceKeeper, enforcement: PolicyEnforcement,
        incidents: CounterTable<Incident>, logger: Logger
    ) {
        self.datapath = datapath
        self.namespaces = namespaces
        self.enforcement = enforcement
        self.incidents = incidents
        self.logger = logger
    }

    /// Gives it the pins to put back, and the part that looks for kubepods cgroups.
    package func hold(_ pins: HeldPins, _ tracking: CgroupTracking) {
        held.withLock { $0 = Held(pins: pins, tracking: tracking) }
    }

    /// The pins to put back; `nil` before there are any, and after ``release()``.
    var pins: HeldPins? { held.withLock { $0?.pins } }

    /// Holds no pins any more. A link in whose place a successor has pinned its own ends here. Without a successor the hooks may
    /// end as well, where the BPF file system is unmounted: not a part of ``end()``.
    package func release() {
        held.withLock { $0 = nil }
    }

    /// Whether another agent writes what the programs know.
    var isYielded: Bool { enforcement.isYielded }

    package func yield() {
        yieldPods()
        namespaces.yield()
    }

    /// Gives way for good: the agent ends. Waits for no opener.
    package func end() {
        ending.store(true, ordering: .sequentiallyConsistent)
        yieldPods()
        namespaces.end()
    }

    package var hasEnded: Bool { ending.load(ordering: .sequentiallyConsistent) }

    private func yieldPods() {
        enforcement.yield()
        // A write that was begun before is done by now.
        held.withLock({ $0?.tracking })?.settle()
    }

    /// Takes back hooks, settings, policies and redirects: the successor may have replaced any of them.
    package func resume() {
        guard !hasEnded else { return }
        if let datapath = datapath.current { takeBack(datapath) }
        held.withLock({ $0?.tracking })?.reclaim()
        // Last of all: its look at every process finds what was reported to the other process.
        namespaces.resume()
        // The agent's end may have come meanwhile, and the next agent with it.
        if hasEnded { end() }
    }

    /// Repeats what the last ``resume()`` did not reach. Where pins alone are left, no process is looked at again.
    func retry() {
        guard !hasEnded else { return }
        let step = unfinished.withLock { $0?.step }
        guard step == .pins, let datapath = datapath.current, datapath.foreignHooks.isEmpty else { return resume() }
        takeBack(datapath)
    }

    private func takeBack(_ datapath: Datapath) {
        let before = unfinished.withLock { $0 }
        let foreign = Set(datapath.foreignHooks).union(before?.foreign ?? [])
        var step = Unfinished.Step.hooks
        do throws(BPFError) {
            try datapath.reclaim(isRepeated: before?.step == .hooks)
            step = .pins
            try pins?.putBack()
            unfinished.withLock { $0 = nil }
            guard !foreign.isEmpty else { return }
            incidents.increment(.hooksReclaimed)
            logger.warning(
                "the hooks ran the programs of another process; they run this agent's again",
                metadata: ["hooks": "\(foreign.sorted().joined(separator: ", "))"])
        } catch {
            let left = Unfinished(foreign: foreign, step: step, reason: error)
            unfinished.withLock { $0 = left }
            // Every few seconds, for as long as it takes.
            guard before?.reason != error else { return }
            let metadata: Logger.Metadata = ["reason": "\(error)"]
            switch step {
            case .hooks:
                logger.error(
                    "cannot take hooks and the host guard's table back from another process; this is tried again",
                    metadata: metadata)
            case .pins:
                logger.error(
                    "cannot pin this agent's links in the place of another process's; this is tried again",
                    metadata: metadata)
            }
        }
    }

    /// Whether a hook runs another process's program: a successor that was given up may have attached it afterwards. Or whether
    /// one may, because it could not be taken back.
    var isTaken: Bool {
        unfinished.withLock { $0 != nil } || datapath.current.map { !$0.foreignHooks.isEmpty } ?? false
    }
}
