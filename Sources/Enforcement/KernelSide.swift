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
    private let pins = Mutex<HeldPins?>(nil)
    /// The hooks that ran another process's programs when the last ``resume()`` began, which did not reach everything.
    private let unfinished = Mutex<Set<String>?>(nil)

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

    /// Gives it the pins to put back.
    package func hold(_ pins: HeldPins) {
        self.pins.withLock { $0 = pins }
    }

    package func yield() {
        namespaces.yield()
    }

    /// Takes back hooks, settings, policies and redirects: the successor may have replaced any of them.
    package func resume() {
        if let datapath = datapath.current { takeBack(datapath) }
        enforcement.reclaim()
        // Last of all: its look at every process finds what was reported to the other process.
        namespaces.resume()
    }

    private func takeBack(_ datapath: Datapath) {
        let before = unfinished.withLock { $0 }
        let foreign = Set(datapath.foreignHooks).union(before ?? [])
        do throws(BPFError) {
            try datapath.reclaim(isRepeated: before != nil)
            try pins.withLock { $0 }?.putBack()
            unfinished.withLock { $0 = nil }
            guard !foreign.isEmpty else { return }
            incidents.increment(.hooksReclaimed)
            logger.warning(
                "the hooks ran the programs of another process; they run this agent's again",
                metadata: ["hooks": "\(foreign.sorted().joined(separator: ", "))"])
        } catch {
            unfinished.withLock { $0 = foreign }
            logger.error(
                "hooks run the programs of another process; this is tried again", metadata: ["reason": "\(error)"])
        }
    }

    /// Whether a hook runs another process's program: a successor that was given up may have attached it afterwards. Or whether
    /// one may, because it could not be taken back.
    var isTaken: Bool {
        unfinished.withLock { $0 != nil } || datapath.current.map { !$0.foreignHooks.isEmpty } ?? false
    }
}
