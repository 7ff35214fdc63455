import Attribution
import NIOCore
import Synchronization

/// The open connections, and the decision whether there may be one more.
///
/// A pod may hold a quarter of what is still free, and never more than its fixed limit: the fuller the server, the less
/// each may add, so that no number of greedy pods can take the last connection of the others.
final class ConnectionRegistry: Sendable {
    enum Admission: Sendable, Equatable {
        case serve
        /// Over the pod's limit: answer 429 and close.
        case refuse
        case reset(ConnectionReset)
    }

    /// Whom a connection counts for. All that have no identity share one account.
    typealias Account = PodUID?

    private struct Storage {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var records: [ObjectIdentifier: ConnectionRecord] = [:]
        var counts: [Account: Int] = [:]
        var isClosed = false
    }

    private let limits: MetadataServerConfiguration.Limits
    private let storage = Mutex(Storage())

    init(limits: MetadataServerConfiguration.Limits) {
        self.limits = limits
    }

    /// Anything but a reset must be followed by ``remove(_:account:)``.
    func admit(_ channel: any Channel, account: Account, record: ConnectionRecord? = nil) -> Admission {
        storage.withLock { storage in
            if storage.isClosed { return .reset(.stopping) }
            let free = limits.connections - storage.channels.count
            guard free > 0 else { return .reset(.connections) }
            let count = storage.counts[account, default: 0]
            let allowed = min(limits.connectionsPerPod, max(free / 4, 1))
            guard count < allowed + limits.refusedConnectionsPerPod else { return .reset(.connectionsPerPod) }
            storage.channels[ObjectIdentifier(channel)] = channel
            storage.records[ObjectIdentifier(channel)] = record
            storage.counts[account] = count + 1
            return count < allowed ? .serve : .refuse
        }
    }

    func remove(_ channel: any Channel, account: Account) {
        storage.withLock { storage in
            guard storage.channels.removeValue(forKey: ObjectIdentifier(channel)) != nil else { return }
            storage.records[ObjectIdentifier(channel)] = nil
            let count = storage.counts[account, default: 1] - 1
            storage.counts[account] = count > 0 ? count : nil
        }
    }

    /// Admits nothing from now on. Returns the connections that are open.
    func close() -> [any Channel] {
        storage.withLock { storage in
            storage.isClosed = true
            return Array(storage.channels.values)
        }
    }

    var count: Int { storage.withLock { $0.channels.count } }

    /// Every open connection, in no order.
    func snapshot() -> [ConnectionSnapshot] {
        let now = ContinuousClock.now
        return storage.withLock { Array($0.records.values) }.map { $0.snapshot(at: now) }
    }
}
