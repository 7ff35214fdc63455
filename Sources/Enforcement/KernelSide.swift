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
        if let datapath = datapath.current {
            do throws(BPFError) {
                let foreign = try datapath.reclaim()
                try pins.withLock { $0 }?.putBack()
                if !foreign.isEmpty {
                    incidents.increment(.hooksReclaimed)
                    logger.warning(
                        "the hooks ran the programs of another process; they run this agent's again",
                        metadata: ["hooks": "\(foreign.joined(separator: ", "))"])
                }
            } catch {
                logger.error(
                    "hooks run the programs of another process; this is tried again", metadata: ["reason": "\(error)"])
            }
        }
        enforcement.reclaim()
        // Last of all: its look at every process finds what was reported to the other process.
        namespaces.resume()
    }

    /// Whether a hook runs another process's program: a successor that was given up may have attached it afterwards.
    var isTaken: Bool { datapath.current.map { !$0.foreignHooks.isEmpty } ?? false }
}
