import Attribution
package import Logging
package import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The SPIFFE Workload API over HTTP/2: takes connections whose peer is known, and serves the five methods on them.
package final class WorkloadServer: Sendable {
    private struct Storage {
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isClosed = false
    }

    private let store: IdentityStore
    private let group: any EventLoopGroup
    private let observer: any WorkloadObserver
    private let logger: Logger
    private let limit: PodConnectionLimit
    private let storage = Mutex(Storage())

    package init(store: IdentityStore, group: any EventLoopGroup, observer: any WorkloadObserver, logger: Logger) {
        self.store = store
        limit = PodConnectionLimit(store.configuration.connectionsPerPod)
        self.group = group
        self.observer = observer
        self.logger = logger
    }

    /// How many connections are open.
    package var connectionCount: Int { storage.withLock(\.connections.count) }

    /// Takes over a connected stream socket that does not block.
    package func serve(_ descriptor: CInt, _ peer: WorkloadPeer) {
        guard let place = enter(peer) else {
            observer.connectionRefused()
            return Self.reset(descriptor)
        }
        _ = ClientBootstrap(group: group)
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try setUp(channel, peer, place) }
            }
            .withConnectedSocket(descriptor)
    }

    /// The same for a channel that another bootstrap has made, before it is active.
    package func adopt(_ channel: any Channel, _ peer: WorkloadPeer) throws {
        guard let place = enter(peer) else {
            observer.connectionRefused()
            throw TooManyConnections()
        }
        try setUp(channel, peer, place)
    }

    private struct TooManyConnections: Error {}
    private struct Closed: Error {}

    /// Closes without a word: the peer sees a reset.
    private static func reset(_ descriptor: CInt) {
        var option = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    /// Takes a place for a connection; `nil`: its pod has all of its places, or the server has closed.
    private func enter(_ peer: WorkloadPeer) -> PodConnectionLimit.Place? {
        storage.withLock(\.isClosed) ? nil : limit.enter(peer.pod)
    }

    private func setUp(_ channel: any Channel, _ peer: WorkloadPeer, _ place: PodConnectionLimit.Place) throws {
        let identifier = ObjectIdentifier(channel)
        // A connection that comes while the server drains would not be told.
        let isOpen = storage.withLock { storage in
            if !storage.isClosed { storage.connections[identifier] = channel }
            return !storage.isClosed
        }
        guard isOpen else { throw Closed() }
        // The connection's end gives its place back.
        channel.closeFuture.whenComplete { [self, place] _ in
            withExtendedLifetime(place) {}
            storage.withLock { $0.connections[identifier] = nil }
        }
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.syncOptions?.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
        try channel.pipeline.syncOperations.addHandler(
            HTTP2Connection(
                CallOpener(store: store, peer: peer, observer: observer), eventLoop: channel.eventLoop))
    }

    /// Tells every client to go elsewhere, ends the streams with UNAVAILABLE spread over `time`, and closes.
    package func drain(within time: Duration) async {
        let channels = storage.withLock { storage in
            storage.isClosed = true
            return Array(storage.connections.values)
        }
        for channel in channels {
            channel.pipeline.fireUserInboundEventTriggered(WorkloadDrain())
        }
        let spread = time / .milliseconds(1)
        for stream in store.close() {
            stream.eventLoop.scheduleTask(in: .milliseconds(Int64.random(in: 0...max(Int64(spread), 0)))) {
                stream.end(.draining)
            }
        }
        let deadline = group.next().scheduleTask(in: TimeAmount(time) + .milliseconds(500)) {
            for channel in channels { channel.close(promise: nil) }
        }
        for channel in channels { try? await channel.closeFuture.get() }
        deadline.cancel()
    }
}

/// Asks a connection to end once its streams have.
struct WorkloadDrain: Sendable {}
