import Synchronization

/// The node's region and zone, for those that are put together before it can be read.
package final class NodePlace: Sendable {
    private struct Names {
        var region: String?
        var zone: String?
    }

    private let storage = Mutex(Names())

    /// `nil` while it is not known.
    var region: String? { storage.withLock { $0.region } }
    package var zone: String? { storage.withLock { $0.zone } }

    package init() {}

    package func note(region: String?, zone: String?) {
        storage.withLock { $0 = Names(region: region, zone: zone) }
    }
}
