package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix

/// Serves the debug endpoints over a Unix socket that only root may open.
package final class AdminServer: Sendable {
    /// Makes one endpoint's body. Runs off the event loops, so that a large dump delays no metadata request.
    package typealias Endpoint = @Sendable () throws -> [UInt8]
    /// Makes the answer to a query, which is what follows `?` in the request's target.
    package typealias Query = @Sendable (String) async throws -> [UInt8]

    private let path: String
    private let service: EndpointService
    private let eventLoopGroup: any EventLoopGroup
    private let logger: Logger
    private let listener = UntilStopped<UnixListener>()

    /// Serves `endpoints` and `queries`, JSON bodies by request path, at `path`.
    package init(
        path: String, endpoints: [String: Endpoint], queries: [String: Query] = [:],
        eventLoopGroup: any EventLoopGroup, logger: Logger
    ) {
        self.path = path
        var limits = EndpointService.Limits()
        // An explanation tries every upstream.
        limits.answerTime = .seconds(60)
        service = EndpointService(limits: limits) { request in
            guard let endpoint = endpoints[request.path] else {
                return .text(.notFound, "this agent has no such endpoint")
            }
            return EndpointResponse(.ok, contentType: "application/json", body: try endpoint())
        } query: { request in
            guard let text = request.query, let query = queries[request.path] else { return nil }
            return { EndpointResponse(.ok, contentType: "application/json", body: try await query(text)) }
        }
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
    }

    /// Whether the socket is there, or is not to be any more.
    package var isListening: Bool { listener.value != nil || listener.isStopped }

    /// Binds the socket, mode 0600, in place of one that a predecessor has or left. A server that was stopped binds none.
    package func start() async throws(AdminServerError) {
        guard !listener.isStopped else { return }
        service.start()
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            .childChannelInitializer { [service] channel in
                channel.eventLoop.makeCompletedFuture {
                    try AdminAccess.checkPeer(of: channel)
                    try service.adopt(channel)
                }
            }
        let opened = try await UnixListener.open(at: path, bootstrap)
        if !listener.keep(opened) { await opened.close() }
    }

    /// Closes the socket for good, and removes it unless it is a successor's by now.
    package func stop() async {
        await listener.stop()?.close()
        await service.stop()
    }
}

/// Why the admin socket cannot be served.
package struct AdminServerError: Error, Sendable, CustomStringConvertible {
    package let description: String
    /// Whether it may pass by itself: the file system has no room for the socket.
    package var isOutOfSpace = false
    /// Whether no process answers there at all.
    package let isUnreachable: Bool

    init(_ path: String, _ problem: String, isUnreachable: Bool = false) {
        description = "admin.socket \(path): \(problem)"
        self.isUnreachable = isUnreachable
    }
}
