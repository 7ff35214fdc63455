package import Attribution
package import BPF
import Synchronization

/// The kernel side, once it is attached: the parts that use it are built before.
package final class AttachedDatapath: Sendable {
    private let datapath = Mutex<Datapath?>(nil)

    package init() {}

    package var current: Datapath? { datapath.withLock { $0 } }

    func set(_ datapath: Datapath) {
        self.datapath.withLock { $0 = datapath }
    }

    /// A connection that arrives before everything is attached has no tag and is reset.
    package func tag(ofAcceptedSocket descriptor: CInt) -> CallerTag? {
        current?.tag(ofAcceptedSocket: descriptor)
    }
}
