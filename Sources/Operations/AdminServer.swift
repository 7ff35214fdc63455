package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Serves the debug views over a Unix socket that only root may open.
package final class AdminServer: Sendable {
    /// Makes one view's body. Runs off the event loops, so that a large dump delays no metadata request.
    package typealias View = @Sendable () throws -> [UInt8]

    private let path: String
    private let views: [String: View]
    private let eventLoopGroup: any EventLoopGroup
    private let logger: Logger
    private let listener = Mutex<UnixListener?>(nil)

    /// Serves `views`, JSON bodies by request path, at `path`.
    package init(path: String, views: [String: View], eventLoopGroup: any EventLoopGroup, logger: Logger) {
        self.path = path
        self.views = views
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
    }

    /// Binds the socket, mode 0600, in place of one that a predecessor has or left.
    package func start() async throws(AdminServerError) {
        try AdminAccess.prepareDirectory(of: path)
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            .childChannelInitializer { [views] channel in
                channel.eventLoop.makeCompletedFuture {
                    try AdminAccess.checkPeer(of: channel)
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try channel.pipeline.syncOperations.addHandler(AdminHandler(views: views))
                }
            }
        let listener = try await UnixListener.open(at: path, bootstrap)
        self.listener.withLock { $0 = listener }
    }

    /// Closes the socket, and removes it unless it is a successor's by now.
    package func stop() async {
        let listener = self.listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        await listener?.close()
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
