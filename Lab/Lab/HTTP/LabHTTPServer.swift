import Foundation
package import NIOCore
import NIOHTTP1
import NIOPosix
package import NIOSSL
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A small HTTP/1.1 server: one asynchronous closure answers every request; faults and the request log are built in.
///
/// ``start()`` owns the lab's only unstructured task: it lives from there to ``stop()``, which waits for its end.
package final class LabHTTPServer: Sendable {
    /// Answers one request.
    package typealias Handler = @Sendable (LabRequest) async -> LabResponse

    /// The place and the way in which a server listens.
    package struct Configuration: Sendable {
        /// A numeric address.
        package var host: String
        /// `0`: any free port, kept when the server goes down and comes back.
        package var port: Int
        /// `nil`: plain TCP. Client certificates are asked for, and handed to the handler unjudged.
        package var tls: NIOSSLContext?
        /// The time that answers are dated with.
        package var clock: LabClock
        package var listener: ListenerFactory
        /// How long ``LabHTTPServer/stop()`` lets requests in flight end by themselves.
        package var grace: Duration
        /// Sees every accepted connection and all bytes that arrive on it, before TLS and HTTP.
        package var tap: (any ConnectionTap)?

        package init(
            host: String = "127.0.0.1",
            port: Int = 0,
            tls: NIOSSLContext? = nil,
            clock: LabClock = LabClock(),
            grace: Duration = .milliseconds(200),
            tap: (any ConnectionTap)? = nil,
            listener: @escaping ListenerFactory = LocalListener.factory
        ) {
            self.host = host
            self.port = port
            self.tls = tls
            self.clock = clock
            self.grace = grace
            self.tap = tap
            self.listener = listener
        }
    }

    private struct Listening {
        let channel: any Channel
        let serving: Task<Void, Never>
    }

    private struct Storage {
        var listening: Listening?
        var address: SocketAddress?
        var connections: [Int: (channel: any Channel, isBusy: Bool)] = [:]
        var accepted = 0
        var isDraining = false
        /// Bound to the port of a server that is down, so that no other connection gets it meanwhile.
        var heldPort: CInt = -1
        /// Replaces the configuration's.
        var tls: NIOSSLContext?
    }

    package let configuration: Configuration
    /// The faults that this server shows.
    package let faults = FaultPlan()
    /// Every request that was read completely, in the order of the answers.
    package let requests = EventLog<LabRequestRecord>()
    let handler: Handler
    private let storage = Mutex(Storage())

    package init(_ configuration: Configuration = Configuration(), handler: @escaping Handler) {
        self.configuration = configuration
        self.handler = handler
    }

    /// The address that the server listens on, or listened on before it went down; `nil` before the first start.
    package var boundAddress: SocketAddress? {
        storage.withLock { $0.address }
    }

    /// `https://host:port` or `http://host:port`; `nil` before the first start.
    package var url: String? {
        guard let address = boundAddress, let port = address.port else { return nil }
        let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
        return "\(configuration.tls == nil ? "http" : "https")://\(host):\(port)"
    }

    /// Connections accepted since the first start.
    package var acceptedConnections: Int {
        storage.withLock { $0.accepted }
    }

    /// Connections that are open now.
    package var openConnections: Int {
        storage.withLock { $0.connections.count }
    }

    /// Binds and serves. A server that runs already goes on as it is.
    /// - Returns: the server's ``url``.
    @discardableResult
    package func start() async throws -> String {
        if storage.withLock({ $0.listening != nil }), let url { return url }
        let port = boundAddress?.port ?? configuration.port
        let listener = try await bind(port: port)
        givePortBack()
        let serving = Task { await serve(listener) }
        storage.withLock { storage in
            storage.listening = Listening(channel: listener.channel, serving: serving)
            storage.address = listener.channel.localAddress
            storage.isDraining = false
        }
        guard let url else { throw IOError(errnoCode: EADDRNOTAVAIL, reason: "the listener has no address") }
        return url
    }

    /// Stops listening, ends idle connections, lets requests in flight end within the grace period, then cuts off the
    /// rest. Everything the server opened is closed when this returns.
    package func stop() async {
        let listening = storage.withLock { storage in
            storage.isDraining = true
            return storage.listening.take()
        }
        givePortBack()
        guard let listening else { return }
        try? await listening.channel.close().get()
        let idle = storage.withLock { $0.connections.values.filter { !$0.isBusy }.map(\.channel) }
        for channel in idle {
            channel.close(promise: nil)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [grace = configuration.grace] in
                try? await Task.sleep(for: grace)
                listening.serving.cancel()
            }
            await listening.serving.value
            group.cancelAll()
        }
    }

    /// Goes down as a machine that loses power does: new connections are refused, open ones are reset.
    package func takeDown() async {
        guard let listening = storage.withLock({ $0.listening.take() }) else { return }
        keepPort()
        try? await listening.channel.close().get()
        for connection in storage.withLock({ Array($0.connections.values) }) {
            await connection.channel.reset()
        }
        listening.serving.cancel()
        await listening.serving.value
    }

    /// Keeps the port, called before it is given up, so that at no moment it is anybody else's.
    private func keepPort() {
        guard let port = boundAddress?.port, let descriptor = try? configuration.listener(configuration.host, port)
        else { return }
        // The socket stays bound, and refuses.
        shutdown(descriptor, CInt(SHUT_RDWR))
        storage.withLock { $0.heldPort = descriptor }
    }

    private func givePortBack() {
        let held = storage.withLock { storage in
            defer { storage.heldPort = -1 }
            return storage.heldPort
        }
        if held >= 0 { Foundation.close(held) }
    }

    /// Comes back on the same port after ``takeDown()``.
    package func bringUp() async throws {
        try await start()
    }

    /// Presents another certificate to connections that are accepted from now on.
    package func replaceTLS(with context: NIOSSLContext) {
        storage.withLock { $0.tls = context }
    }

    // MARK: - Bookkeeping of connections

    /// Marks a connection as answering a request, or idle. Returns whether it may go on.
    func setBusy(_ isBusy: Bool, connection: Int) -> Bool {
        storage.withLock { storage in
            storage.connections[connection]?.isBusy = isBusy
            return isBusy || !storage.isDraining
        }
    }

    private func open(_ channel: any Channel) -> Int {
        storage.withLock { storage in
            storage.accepted += 1
            storage.connections[storage.accepted] = (channel, false)
            return storage.accepted
        }
    }

    private func close(connection: Int) {
        storage.withLock { _ = $0.connections.removeValue(forKey: connection) }
    }

    // MARK: - Channels

    private typealias Listener = NIOAsyncChannel<LabHTTPConnection.Channel, Never>

    private func bind(port: Int) async throws -> Listener {
        let descriptor = try configuration.listener(configuration.host, port)
        return try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .bind(descriptor) { [self] channel in configure(channel) }
    }

    private func configure(_ channel: any Channel) -> EventLoopFuture<LabHTTPConnection.Channel> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            if let tap = configuration.tap {
                try pipeline.addHandler(ConnectionTapHandler(tap: tap))
            }
            if let tls = storage.withLock({ $0.tls }) ?? configuration.tls {
                try pipeline.addHandler(
                    NIOSSLServerHandler(context: tls) { _, promise in
                        // The emulator judges certificates: a foreign one has to reach it and be answered with 401.
                        promise.succeed(.certificateVerified)
                    }
                )
            }
            try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
            return try LabHTTPConnection.Channel(wrappingChannelSynchronously: channel)
        }
    }

    private func serve(_ listener: Listener) async {
        await withDiscardingTaskGroup { group in
            try? await listener.executeThenClose { inbound in
                for try await channel in inbound {
                    let number = open(channel.channel)
                    group.addTask { [self] in
                        await LabHTTPConnection(server: self, channel: channel, number: number).run()
                        close(connection: number)
                    }
                }
            }
        }
    }
}

extension Optional {
    /// The value, leaving `nil` behind.
    fileprivate mutating func take() -> Wrapped? {
        defer { self = nil }
        return self
    }
}
