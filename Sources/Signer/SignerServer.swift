package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import SpiffeIdentity
import Synchronization

/// The signer's HTTPS server: exchanges, and what relying parties read.
package final class SignerServer: Sendable {
    /// Nodes keep one connection each, and come all at once when a signer was away.
    static let connectionLimit = 8192
    static let bodyLimit = 64 * 1024
    private static let idle = TimeAmount.seconds(90)

    private let exchange: Exchange
    private let keys: KeyHolder
    private let log: SignatureLog
    private let group: any EventLoopGroup
    private let logger: Logger
    private let count = Atomic<Int>(0)
    private let listener = Mutex<(any Channel)?>(nil)

    package init(
        exchange: Exchange, keys: KeyHolder, log: SignatureLog, group: any EventLoopGroup, logger: Logger
    ) {
        self.exchange = exchange
        self.keys = keys
        self.log = log
        self.group = group
        self.logger = logger
    }

    /// How many connections are open.
    package var connectionCount: Int { count.load(ordering: .relaxed) }

    /// Binds and serves.
    ///
    /// - Returns: The port.
    @discardableResult
    package func start() async throws -> Int {
        let configuration = exchange.configuration
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try adopt(channel) }
            }
            .bind(host: configuration.address, port: configuration.port).get()
        listener.withLock { $0 = channel }
        return channel.localAddress?.port ?? 0
    }

    /// Counts a connection of an address until it closes; `false`: the address has as many as it may.
    fileprivate func admit(_ channel: any Channel, from address: String) -> Bool {
        guard let shares = exchange.shares else { return true }
        guard shares.connect(address) else { return false }
        channel.closeFuture.whenComplete { _ in shares.disconnect(address) }
        return true
    }

    /// Accepts nothing more; what is open ends with the process.
    package func stop() async {
        let channel = listener.withLock { channel in
            defer { channel = nil }
            return channel
        }
        try? await channel?.close().get()
    }

    private struct TooManyConnections: Error {}

    private func adopt(_ channel: any Channel) throws {
        guard count.wrappingAdd(1, ordering: .relaxed).newValue <= Self.connectionLimit else {
            count.wrappingSubtract(1, ordering: .relaxed)
            throw TooManyConnections()
        }
        channel.closeFuture.whenComplete { [self] _ in count.wrappingSubtract(1, ordering: .relaxed) }
        var decoding = NIOHTTPDecoderLimitConfiguration()
        // A pod-bound token alone is a kilobyte.
        decoding.maxHeaderListSize = 32 * 1024
        decoding.maxHeaderFieldSize = 24 * 1024
        decoding.maxHeaderFieldCount = 64
        try channel.pipeline.syncOperations.addHandlers([
            NIOSSLServerHandler(context: keys.tlsContext),
            IdleStateHandler(allTimeout: Self.idle),
            HTTPResponseEncoder(),
            ByteToMessageHandler(
                HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding)),
            HTTPServerPipelineHandler(),
            HTTPServerProtocolErrorHandler(),
            NIOHTTPServerRequestAggregator(maxContentLength: Self.bodyLimit),
            SignerRequestHandler(server: self),
        ])
    }

    // MARK: Answers

    struct Answer: Sendable {
        var status: HTTPResponseStatus
        var contentType = "application/json"
        var body: [UInt8]
        var retryAfter: Int?

        static func problem(_ status: Int, _ reason: String, retryAfter: Int? = nil) -> Answer {
            let body = JSONValue.object(["error": .string(reason)]).bytes
            return Answer(status: HTTPResponseStatus(statusCode: status), body: body, retryAfter: retryAfter)
        }
    }

    func answer(_ head: HTTPRequestHead, _ body: ByteBuffer?, from address: String) async -> Answer {
        let path = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)[0]
        switch (head.method, path) {
        case (.POST, ExchangeRequest.path[...]): return await answer(exchange: head, body, from: address)
        case (.GET, ExchangeRequest.bundlePath[...]):
            return Answer(status: .ok, body: keys.current.bundle.document(refreshHint: 60))
        case (.GET, "/keys"):
            return Answer(
                status: .ok, contentType: "application/jwk-set+json", body: keys.current.bundle.keySet(use: "sig"))
        case (.GET, "/.well-known/openid-configuration"): return discovery()
        case (.GET, "/healthz"): return Answer(status: .ok, contentType: "text/plain", body: Array("ok\n".utf8))
        case (_, ExchangeRequest.path[...]): return .problem(405, "only POST is served here")
        default: return .problem(404, "nothing is served here")
        }
    }

    private func answer(exchange head: HTTPRequestHead, _ body: ByteBuffer?, from address: String) async -> Answer {
        if case .limited(_, let isNews) = exchange.shares?.begin(address) {
            let reason = "as many exchanges of address \(address) are under way as may be"
            log.record(ExchangeRefusal(status: 429, reason: reason, isNews: isNews))
            return .problem(429, reason, retryAfter: 1)
        }
        defer { exchange.shares?.end(address) }
        let request = body.flatMap { ExchangeRequest(parsing: Array($0.readableBytesView)) }
        do throws(ExchangeRefusal) {
            guard let request else { throw ExchangeRefusal(status: 400, reason: "the body is no exchange request") }
            let outcome = try await exchange.exchange(
                request, token: Self.bearer(head.headers), keys: keys.current)
            log.record(outcome, audience: request.audience)
            return Answer(status: .ok, body: outcome.answer.bytes)
        } catch {
            log.record(error)
            return .problem(error.status, error.reason, retryAfter: error.retryAfter)
        }
    }

    private func discovery() -> Answer {
        guard let issuer = exchange.configuration.issuer else {
            return .problem(404, "the signer has no issuer URL (--issuer)")
        }
        let document = JSONValue.object([
            "issuer": .string(issuer), "jwks_uri": .string(issuer + "/keys"),
            "id_token_signing_alg_values_supported": .array([.string("ES256")]),
            "response_types_supported": .array([.string("id_token")]),
            "subject_types_supported": .array([.string("public")]),
        ])
        return Answer(status: .ok, body: document.bytes)
    }

    /// The token of the one Authorization header.
    private static func bearer(_ headers: HTTPHeaders) -> String? {
        let values = headers["authorization"]
        guard values.count == 1, values[0].lowercased().hasPrefix("bearer ") else { return nil }
        return String(values[0].dropFirst("bearer ".count))
    }
}

/// One connection: one request after the other.
private final class SignerRequestHandler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPServerRequestFull
    typealias OutboundOut = HTTPServerResponsePart

    private let server: SignerServer

    init(server: SignerServer) {
        self.server = server
    }

    /// The address is not known before.
    func channelActive(context: ChannelHandlerContext) {
        guard server.admit(context.channel, from: context.remoteAddress?.ipAddress ?? "") else {
            return context.close(promise: nil)
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let request = unwrapInboundIn(data)
        let keepsAlive = request.head.isKeepAlive
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let address = context.remoteAddress?.ipAddress ?? ""
        context.eventLoop.makeFutureWithTask { [server] in
            await server.answer(request.head, request.body, from: address)
        }.whenSuccess { answer in
            Self.write(answer, keepsAlive: keepsAlive, bound.value)
        }
    }

    private static func write(_ answer: SignerServer.Answer, keepsAlive: Bool, _ context: ChannelHandlerContext) {
        var headers: HTTPHeaders = [
            "content-type": answer.contentType, "content-length": "\(answer.body.count)",
            "cache-control": "no-store", "connection": keepsAlive ? "keep-alive" : "close",
        ]
        if let seconds = answer.retryAfter { headers.add(name: "retry-after", value: "\(seconds)") }
        let channel = context.channel
        let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
        channel.write(HTTPServerResponsePart.head(head), promise: nil)
        channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: answer.body))), promise: nil)
        channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in
            if !keepsAlive { channel.close(promise: nil) }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension SignerRequestHandler: Sendable {}
