import Attribution
package import Logging
package import NIOCore
import NIOHTTP2
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
        storage.withLock { $0.connections[identifier] = channel }
        // The connection's end gives its place back.
        channel.closeFuture.whenComplete { [self, place] _ in
            withExtendedLifetime(place) {}
            storage.withLock { $0.connections[identifier] = nil }
        }
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.syncOptions?.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: store.configuration.streamsPerConnection),
            HTTP2Setting(parameter: .maxHeaderListSize, value: store.configuration.headerBytes),
            HTTP2Setting(parameter: .enablePush, value: 0),
            // No table that a client fills.
            HTTP2Setting(parameter: .headerTableSize, value: 4096),
        ]
        // RST_STREAM ends every one-shot call of grpc-go and grpc: the limit is on floods.
        connection.maximumBufferedControlFrames = 256
        let (store, observer) = (store, observer)
        let keeper = ConnectionKeeper(idleTime: store.configuration.idleTime)
        let bound = NIOLoopBound(keeper, eventLoop: channel.eventLoop)
        // One for all streams of the connection.
        let closed: @Sendable () -> Void = { bound.value.streamClosed() }
        _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
            mode: .server, connectionConfiguration: connection, streamConfiguration: .init(),
            inboundStreamInitializer: { stream in
                stream.eventLoop.makeCompletedFuture {
                    bound.value.streamOpened()
                    try stream.pipeline.syncOperations.addHandler(
                        CallHandler(store: store, peer: peer, observer: observer, closed: closed))
                }
            })
        try channel.pipeline.syncOperations.addHandler(keeper)
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

/// The end of one connection's pipeline: closes what is idle, what breaks the protocol, and what drains.
private final class ConnectionKeeper: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let idleTime: TimeAmount
    private var streams = 0
    private var isDraining = false
    private var context: ChannelHandlerContext?
    /// Looks, once in an idle time, whether the connection has been idle for as long: no call starts a timer.
    private var timer: Scheduled<Void>?
    private var idleSince = NIODeadline.now()

    init(idleTime: TimeAmount) {
        self.idleTime = idleTime
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        startTimer(until: idleSince + idleTime)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        self.context = nil
    }

    func streamOpened() {
        streams += 1
    }

    func streamClosed() {
        streams -= 1
        guard streams == 0 else { return }
        if isDraining { context?.close(promise: nil) } else { idleSince = .now() }
    }

    private func startTimer(until moment: NIODeadline) {
        guard let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: moment) { bound.value.checkIdle() }
    }

    private func checkIdle() {
        guard streams == 0 else { return startTimer(until: .now() + idleTime) }
        let moment = idleSince + idleTime
        if moment <= .now() { goAway() } else { startTimer(until: moment) }
    }

    private func goAway() {
        guard let context, !isDraining else { return }
        isDraining = true
        let frame = HTTP2Frame(
            streamID: .rootStream,
            payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(frame)).whenComplete { _ in
            let keeper = bound.value
            if keeper.streams == 0 { keeper.context?.close(promise: nil) }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is WorkloadDrain { goAway() } else { context.fireUserInboundEventTriggered(event) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A stream's own errors end that stream; any other is a breach of the protocol.
        if error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension ConnectionKeeper: Sendable {}
