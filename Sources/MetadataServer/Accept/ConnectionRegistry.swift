import Attribution
import NIOCore
import Synchronization

/// The open connections, and the decision whether there may be one more.
///
/// Each pod has a few reserved places, which no other pod can take. Beyond those a pod may hold a quarter of the shared
/// places that are still free, and never more than its fixed limit: the fuller the server, the less each may add. The
/// number of connections is therefore bounded by the shared places and the reserved places of the node's pods.
///
/// A pod at its limit loses the connection that was idle for longest; it is refused only when all are busy.
///
/// The registry also bounds the bytes of requests that are not answered yet, over all pods: beyond the limit the pod that
/// holds most of them loses its largest connection.
final class ConnectionRegistry: Sendable {
    enum Admission: Sendable, Equatable {
        case serve
        /// The pod has more connections than its limit: answer 429 and close.
        case refuse
        case reset(ConnectionReset)
    }

    /// The pod that a connection counts for. All connections without an identity share one owner, `nil`.
    typealias Owner = PodUID?

    fileprivate struct Entry {
        let channel: any Channel
        let record: ConnectionRecord?
        /// Bytes of requests without an answer, as the connection reported them.
        var unfinished = 0
        /// The connection was refused, or closes because it was idle.
        var isEnding = false
    }

    fileprivate struct Holdings {
        var entries: [ObjectIdentifier: Entry] = [:]
        var ending = 0
        var unfinished = 0
    }

    private struct Storage {
        var owners: [Owner: Holdings] = [:]
        var count = 0
        /// Connections beyond the reserved ones of their pods.
        var shared = 0
        var unfinished = 0
        var isClosed = false
    }

    private let limits: MetadataServerLimits
    private let storage = Mutex(Storage())

    init(limits: MetadataServerLimits) {
        self.limits = limits
    }

    private var reserved: Int { min(limits.reservedConnectionsPerPod, limits.connectionsPerPod) }

    /// Decides about one more connection. Anything but a reset must be followed by ``remove(_:owner:)``.
    ///
    /// - Returns: The decision, and the idle connection that has to make room, which the caller asks to end.
    func admit(
        _ channel: any Channel, owner: Owner, record: ConnectionRecord? = nil
    ) -> (admission: Admission, displaced: (any Channel)?) {
        storage.withLock { storage in
            var entry = Entry(channel: channel, record: record)
            var displaced: (any Channel)?
            switch decision(storage, owner) {
            case .serve: break
            case .displace(let identifier): displaced = storage.owners[owner]?.end(identifier)
            case .refuse: entry.isEnding = true
            case .reset(let reason): return (.reset(reason), nil)
            }
            if (storage.owners[owner]?.entries.count ?? 0) >= reserved { storage.shared += 1 }
            storage.owners[owner, default: Holdings()].insert(entry)
            storage.count += 1
            return (entry.isEnding ? .refuse : .serve, displaced)
        }
    }

    /// Why ``admit(_:owner:record:)`` would reset a connection now, if it would: asked before anything is made of it.
    func resetReason(for owner: Owner) -> ConnectionReset? {
        storage.withLock { storage in
            if case .reset(let reason) = decision(storage, owner) { reason } else { nil }
        }
    }

    private enum Decision {
        case serve
        case displace(ObjectIdentifier)
        case refuse
        case reset(ConnectionReset)
    }

    private func decision(_ storage: borrowing Storage, _ owner: Owner) -> Decision {
        if storage.isClosed { return .reset(.stopping) }
        guard let holdings = storage.owners[owner], holdings.entries.count >= reserved else { return .serve }
        let free = max(limits.connections - storage.shared, 0)
        let allowed = min(limits.connectionsPerPod, reserved + free / 4)
        if free > 0, holdings.entries.count - holdings.ending < allowed { return .serve }
        let mayEnd = holdings.ending < limits.refusedConnectionsPerPod
        if mayEnd, let idle = holdings.longestIdle { return .displace(idle) }
        guard free > 0 else { return .reset(.connections) }
        return mayEnd ? .refuse : .reset(.connectionsPerPod)
    }

    func remove(_ channel: any Channel, owner: Owner) {
        storage.withLock { storage in
            guard let entry = storage.owners[owner]?.remove(ObjectIdentifier(channel)) else { return }
            storage.count -= 1
            storage.unfinished -= entry.unfinished
            let count = storage.owners[owner]?.entries.count ?? 0
            if count >= reserved { storage.shared -= 1 }
            if count == 0 { storage.owners[owner] = nil }
        }
    }

    /// Notes how many bytes of requests a connection holds that have no answer yet.
    ///
    /// - Returns: The connections that have to be closed for it, those of the pod with most of such bytes first.
    func noteUnfinished(_ bytes: Int, of channel: any Channel, owner: Owner) -> [any Channel] {
        storage.withLock { storage in
            let identifier = ObjectIdentifier(channel)
            guard let change = storage.owners[owner]?.setUnfinished(bytes, of: identifier) else { return [] }
            storage.unfinished += change
            var excess: [any Channel] = []
            while storage.unfinished > limits.unfinishedBytes {
                guard let greediest = storage.owners.max(by: { $0.value.unfinished < $1.value.unfinished })?.key,
                    let largest = storage.owners[greediest]?.largest,
                    let change = storage.owners[greediest]?.setUnfinished(0, of: ObjectIdentifier(largest))
                else { break }
                storage.unfinished += change
                excess.append(largest)
            }
            return excess
        }
    }

    /// Admits nothing from now on. Returns the connections that are open.
    func close() -> [any Channel] {
        storage.withLock { storage in
            storage.isClosed = true
            return storage.owners.values.flatMap { $0.entries.values.map(\.channel) }
        }
    }

    var count: Int { storage.withLock(\.count) }

    /// Bytes of requests without an answer, of all connections.
    var unfinishedBytes: Int { storage.withLock(\.unfinished) }

    /// Every open connection, in no order.
    func snapshot() -> [ConnectionSnapshot] {
        let now = ContinuousClock.now
        return storage.withLock { $0.owners.values.flatMap { $0.entries.values.compactMap(\.record) } }
            .map { $0.snapshot(at: now) }
    }
}

extension ConnectionRegistry.Holdings {
    fileprivate mutating func insert(_ entry: ConnectionRegistry.Entry) {
        entries[ObjectIdentifier(entry.channel)] = entry
        if entry.isEnding { ending += 1 }
    }

    fileprivate mutating func remove(_ identifier: ObjectIdentifier) -> ConnectionRegistry.Entry? {
        guard let entry = entries.removeValue(forKey: identifier) else { return nil }
        if entry.isEnding { ending -= 1 }
        unfinished -= entry.unfinished
        return entry
    }

    /// The connection that was idle for longest; `nil` if all are busy. Linear in the pod's connections.
    fileprivate var longestIdle: ObjectIdentifier? {
        var longest: (identifier: ObjectIdentifier, since: NIODeadline)?
        for (identifier, entry) in entries where !entry.isEnding {
            guard let since = entry.record?.idleSince else { continue }
            if let found = longest, found.since <= since { continue }
            longest = (identifier, since)
        }
        return longest?.identifier
    }

    fileprivate mutating func end(_ identifier: ObjectIdentifier) -> (any Channel)? {
        entries[identifier]?.isEnding = true
        ending += 1
        return entries[identifier]?.channel
    }

    /// Returns by how much the sum changed; `nil` if the connection is not here.
    fileprivate mutating func setUnfinished(_ bytes: Int, of identifier: ObjectIdentifier) -> Int? {
        guard let before = entries[identifier]?.unfinished else { return nil }
        entries[identifier]?.unfinished = bytes
        unfinished += bytes - before
        return bytes - before
    }

    /// The connection with most unfinished bytes, if any has some.
    fileprivate var largest: (any Channel)? {
        entries.values.filter { $0.unfinished > 0 }.max { $0.unfinished < $1.unfinished }?.channel
    }
}
