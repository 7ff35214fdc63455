package import Attribution
package import Logging
package import MetadataProtocol
package import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The metadata server: accepts redirected connections and answers them in the protocols of its rooms.
///
/// Nothing is ever forwarded. A connection without a tag is reset unread. Threads of its own accept from every
/// listening socket, and answer there what they can at once; everything else runs on the given event loops. `readTag`
/// is called once per connection, on such a thread, and must not block.
package final class MetadataServer: Sendable {
    private let limits: MetadataServerLimits
    private let responder: MetadataResponder
    private let readTag: @Sendable (CInt) -> CallerTag?
    private let eventLoopGroup: any EventLoopGroup
    private let observer: any MetadataServerObserver
    private let elsewhere: OtherService?
    private let secured: SecuredPort?
    private let registry: ConnectionRegistry
    private let known = RequestCache()
    /// The event loops that serve connections: no more than threads accept, since the pool waits for its threads' loops alone.
    let loops: [ServingLoop]
    private let pool: AcceptorPool

    /// The first of `rooms` that owns a path serves it. `readTag` gives what the kernel noted for an accepted socket, by its
    /// descriptor; `nil` if nothing. `acceptFailed` is called whenever a connection could not be accepted, which stays with
    /// the kernel and is tried again. `elsewhere` takes the connections to its port. On the port of `secured` requests come
    /// through its handlers.
    package init(
        limits: MetadataServerLimits = MetadataServerLimits(),
        backend: any MetadataBackend,
        rooms: [any MetadataRoom],
        readTag: @escaping @Sendable (CInt) -> CallerTag?,
        eventLoopGroup: any EventLoopGroup,
        logger: Logger,
        observer: any MetadataServerObserver,
        acceptFailed: @escaping @Sendable () -> Void = {}, elsewhere: OtherService? = nil,
        secured: SecuredPort? = nil
    ) {
        self.limits = limits
        self.responder = MetadataResponder(backend: backend, rooms: rooms)
        self.readTag = readTag
        self.eventLoopGroup = eventLoopGroup
        self.observer = observer
        self.elsewhere = elsewhere
        self.secured = secured
        self.registry = ConnectionRegistry(limits: limits)
        self.loops = eventLoopGroup.makeIterator().prefix(AcceptorPool.acceptorsMax).map { ServingLoop($0) }
        self.pool = AcceptorPool(loops: loops.map(\.loop), logger: logger, acceptFailed: acceptFailed)
    }

    /// Whether it listens.
    package var isAccepting: Bool { pool.isListening }

    /// How many connections are open.
    package var connectionCount: Int { registry.count }

    /// Every open connection, in no order, for the debug dump.
    package func connections() -> [ConnectionSnapshot] { registry.snapshot() }

    /// Accepts from a bound and listening stream socket that does not block. It may be inherited and shared with
    /// another process. May be called for several sockets. The descriptor is the server's from here on.
    ///
    /// - Parameters:
    ///   - descriptor: The socket.
    ///   - namespace: The socket's network namespace, by its cookie; a connection whose caller was noted in another is
    ///     reset. `nil`: that is not looked at.
    ///   - waitsForBytes: Whether a connection is accepted with its first bytes. Not where pods share a socket: there one pod's
    ///     silent connections would take places from another's.
    ///   - isPaused: Whether to accept nothing before ``resumeAccepting()``. Counts for the first socket.
    /// - Throws: What the socket cannot do; or the server has stopped.
    package func start(
        onListeningSocket descriptor: CInt, namespace: UInt64? = nil, waitsForBytes: Bool = false,
        isPaused: Bool = false
    ) throws(MetadataServerError) {
        guard listen(descriptor, limits.listenBacklog) == 0 else {
            let reason = errno
            close(descriptor)
            throw MetadataServerError("cannot set the backlog of descriptor \(descriptor): errno \(reason)")
        }
        limits.apply(toListeningSocket: descriptor, waitsForBytes: waitsForBytes)
        try pool.add(descriptor, namespace: namespace, isPaused: isPaused) { [self] index, queue in
            FastPath(
                responder: responder, known: known, observer: observer, readTag: readTag, elsewhere: elsewhere,
                securedPort: secured?.port
            ) { descriptor, tag in
                if let reason = self.registry.resetReason(for: self.owner(of: tag)) {
                    self.count(reason)
                    FastPath.reset(descriptor)
                    return
                }
                let serving = ServingLoop.leastBusy(of: self.loops, preferring: index)
                serving.enter()
                queue.enter()
                serving.loop.execute {
                    self.serve(descriptor, tag, on: serving)
                    queue.leave()
                }
            }
        }
    }

    /// Accepts nothing more from a namespace, and closes its sockets. Connections that were accepted go on.
    package func stop(namespace: UInt64) {
        pool.remove(namespace: namespace)
    }

    /// The namespaces in which a listening socket has ended, though ``stop(namespace:)`` was not called.
    ///
    /// The kernel lets a process with CAP_NET_ADMIN over a network namespace end its sockets: `SOCK_DESTROY` of sock_diag(7).
    package var endedNamespaces: Set<UInt64> { pool.endedNamespaces }

    /// The listening sockets of a namespace, which stay the server's.
    package func descriptors(namespace: UInt64) -> [CInt] { pool.descriptors(namespace: namespace) }

    /// The time at which a connection in a namespace was last accepted; `nil`: none has been.
    package func lastAccepted(namespace: UInt64) -> NIODeadline? { pool.lastAccepted(namespace: namespace) }

    /// Leaves new connections with the listening sockets, for another process that holds them, until
    /// ``resumeAccepting()``. When this returns, every connection that was accepted is set up.
    package func pauseAccepting() async { await pool.pause() }

    package func resumeAccepting() { pool.resume() }

    /// Closes the listening sockets for good. Connections that wait to be accepted stay with a socket that another
    /// process holds, and are reset otherwise.
    package func stopAccepting() async { await pool.stop() }

    /// Stops accepting, lets every request that has begun be answered, ends idle connections and held watches. Whatever
    /// is still open after `time` is closed.
    ///
    /// With `keepsIdle` idle connections have `time` for one more request before that begins, so that it may take twice
    /// as long: for a server whose successor answers meanwhile.
    package func shutDownGracefully(within time: Duration, keepsIdle: Bool = false) async {
        await stopAccepting()
        let connections = registry.close()
        if keepsIdle {
            await drain(connections, DrainRequested(keepsIdle: true), within: time) { connection in
                connection.pipeline.fireUserInboundEventTriggered(DrainRequested())
            }
        }
        await drain(connections, DrainRequested(), within: time) { $0.close(promise: nil) }
    }

    /// Tells the connections and waits until all are closed; those that are open after `time` meet `end`.
    private func drain(
        _ connections: [any Channel], _ request: DrainRequested, within time: Duration,
        end: @escaping @Sendable (any Channel) -> Void
    ) async {
        guard !connections.isEmpty else { return }
        let open = connections.filter(\.isActive)
        for connection in open {
            connection.pipeline.fireUserInboundEventTriggered(request)
        }
        let deadline = eventLoopGroup.next().scheduleTask(in: TimeAmount(time)) {
            for connection in open { end(connection) }
        }
        // Also those that are no longer open, but whose end has not been told yet.
        for connection in connections {
            try? await connection.closeFuture.get()
        }
        deadline.cancel()
    }

    /// Takes over an accepted socket, which `serving` counts already.
    private func serve(_ descriptor: CInt, _ tag: CallerTag, on serving: ServingLoop) {
        ClientBootstrap(group: serving.loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.accept(channel, tag, serving.state.value) }
            }
            .withConnectedSocket(descriptor).whenComplete { result in
                guard case .success(let channel) = result else { return serving.leave() }
                channel.closeFuture.whenComplete { _ in serving.leave() }
            }
    }

    /// Runs before the first byte is read.
    private func accept(_ channel: any Channel, _ tag: CallerTag, _ state: ServingLoop.State) throws {
        let owner = owner(of: tag)
        let record = ConnectionRecord(owner: owner, tag: tag)
        let (admission, displaced) = registry.admit(channel, owner: owner, record: record)
        if let displaced {
            observer.limitHit(.idleConnections)
            displaced.pipeline.fireUserInboundEventTriggered(DrainRequested())
        }
        switch admission {
        case .serve: break
        case .refuse: observer.limitHit(.connectionsPerPod)
        case .reset(let reason):
            count(reason)
            throw reset(channel)
        }
        observer.connectionOpened()
        channel.closeFuture.whenComplete { [registry, observer] _ in
            observer.connectionClosed()
            registry.remove(channel, owner: owner)
        }
        // A client may say that it sends no more before it has its answer.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        // About one answer that the client does not read is kept; then none is made.
        try channel.syncOptions?.setOption(.writeBufferWaterMark, value: Self.answersInMemory)
        // One read a turn: the loop's other connections wait for as long as all reads of a turn take.
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        // Most requests are a few hundred bytes. Also bounds what one read brings while an answer is in flight.
        try channel.syncOptions?.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
        if let secured, tag.originalDestination.port == secured.port {
            try channel.pipeline.syncOperations.addHandlers(secured.handlers(tag))
        }
        try channel.pipeline.syncOperations.addHandlers(
            Self.handlers(
                RequestHandler(
                    tag: tag,
                    responder: responder,
                    limits: limits,
                    observer: observer,
                    date: state.date,
                    leased: state.leased,
                    executor: state.executor,
                    record: record,
                    refusesAll: admission == .refuse,
                    registry: registry
                ), known: known, limits: limits))
    }

    static let answersInMemory = ChannelOptions.Types.WriteBufferWaterMark(low: 2048, high: 4096)

    /// The pipeline of one connection, from the socket inwards.
    static func handlers(
        _ handler: RequestHandler, known: RequestCache, limits: MetadataServerLimits
    ) -> [any ChannelHandler] {
        [ArrivalHandler(handler, known: known, limits: limits), handler]
    }

    private func owner(of tag: CallerTag) -> ConnectionRegistry.Owner {
        responder.identify(tag).pod
    }

    private func count(_ reason: ConnectionReset) {
        observer.connectionReset(reason)
        switch reason {
        case .connections: observer.limitHit(.connections)
        case .connectionsPerPod: observer.limitHit(.connectionsPerPod)
        case .untagged, .foreignNamespace, .stopping: break
        }
    }

    /// Closes without a word and without reading: the peer sees a reset.
    private func reset(_ channel: any Channel) -> ConnectionRefused {
        (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in }
        channel.close(promise: nil)
        return ConnectionRefused()
    }

    private struct ConnectionRefused: Error {}
}
