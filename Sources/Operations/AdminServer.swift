package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Serves the debug views over a Unix socket that only root may open.
package final class AdminServer: Sendable {
    /// Makes one view's body. Runs off the event loops, so that a large dump delays no metadata request.
    package typealias View = @Sendable () throws -> [UInt8]

    private let path: String
    private let views: [String: View]
    private let eventLoopGroup: any EventLoopGroup
    private let logger: Logger
    private let channel = Mutex<(any Channel)?>(nil)

    /// Serves `views`, JSON bodies by request path, at `path`.
    package init(path: String, views: [String: View], eventLoopGroup: any EventLoopGroup, logger: Logger) {
        self.path = path
        self.views = views
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
    }

    /// Binds the socket, mode 0600, in place of one that a dead agent left.
    package func start() async throws(AdminServerError) {
        try AdminAccess.prepareDirectory(of: path)
        do {
            let channel = try await ServerBootstrap(group: eventLoopGroup)
                .childChannelInitializer { [views] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try AdminAccess.checkPeer(of: channel)
                        try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
                        try channel.pipeline.syncOperations.addHandler(AdminHandler(views: views))
                    }
                }
                .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            guard unsafe chmod(path, 0o600) == 0 else {
                try? await channel.close().get()
                throw AdminServerError(path, "cannot restrict it to its owner: errno \(errno)")
            }
            self.channel.withLock { $0 = channel }
        } catch let error as AdminServerError {
            throw error
        } catch {
            throw AdminServerError(path, "cannot listen: \(error)")
        }
    }

    /// Closes and removes the socket.
    package func stop() async {
        let channel = self.channel.withLock { channel in
            defer { channel = nil }
            return channel
        }
        guard let channel else { return }
        try? await channel.close().get()
        unsafe unlink(path)
    }
}

/// Why the admin socket cannot be served.
package struct AdminServerError: Error, Sendable, CustomStringConvertible {
    package let description: String

    init(_ path: String, _ problem: String) {
        description = "admin.socket \(path): \(problem)"
    }
}

/// One request, one view.
private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let views: [String: AdminServer.View]
    private var target: String?

    init(views: [String: AdminServer.View]) {
        self.views = views
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            target = head.method == .GET ? head.uri : nil
        case .body:
            break
        case .end:
            answer(context)
        }
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard let view = target.flatMap({ views[$0] }) else {
            return respond(context, .notFound, Array("there is no such view\n".utf8))
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop, view).whenComplete { result in
            let (handler, context) = bound.value
            switch result {
            case .success(let body): handler.respond(context, .ok, body)
            case .failure(let error): handler.respond(context, .internalServerError, Array("\(error)\n".utf8))
            }
        }
    }

    private func respond(_ context: ChannelHandlerContext, _ status: HTTPResponseStatus, _ body: [UInt8]) {
        let headers: HTTPHeaders = [
            "Content-Type": status == .ok ? "application/json" : "text/plain; charset=utf-8",
            "Content-Length": "\(body.count)", "Connection": "close",
        ]
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
