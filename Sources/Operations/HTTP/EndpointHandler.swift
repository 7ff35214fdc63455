import NIOCore
import NIOHTTP1
import NIOPosix

/// One connection: one request, one answer, and the end.
final class EndpointHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let service: EndpointService
    private var head: HTTPRequestHead?
    private var bodyBytes = 0
    private var isAnswering = false
    private var deadline: Scheduled<Void>?

    init(service: EndpointService) {
        self.service = service
    }

    func channelActive(context: ChannelHandlerContext) {
        startTimer(service.limits.requestTime, context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Bytes after the first request are dropped: the answer says that the connection ends.
        guard !isAnswering else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
        case .body(let bytes):
            bodyBytes += bytes.readableBytes
            if bodyBytes > service.limits.bodyBytes { context.close(promise: nil) }
        case .end:
            guard let head else { return context.close(promise: nil) }
            isAnswering = true
            startTimer(service.limits.answerTime, context)
            answer(head, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError, !isAnswering else { return context.close(promise: nil) }
        isAnswering = true
        write(.text(.badRequest, "this is not a request that is served here"), isHead: false, context)
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard head.method == .GET || head.method == .HEAD else {
            return write(.text(.methodNotAllowed, "only GET and HEAD are served here"), isHead: false, context)
        }
        guard head.uri.first == "/" else {
            return write(.text(.badRequest, "the request target must be a path"), isHead: false, context)
        }
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let request = EndpointRequest(
            path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : nil,
            accept: head.headers["accept"].joined(separator: ",")
        )
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let made =
            if let query = service.query(request) {
                context.eventLoop.makeFutureWithTask(query)
            } else {
                service.threads.runIfActive(eventLoop: context.eventLoop) { [respond = service.respond] in
                    try respond(request)
                }
            }
        made.whenComplete { result in
            let (handler, context) = bound.value
            switch result {
            case .success(let answer): handler.write(answer, isHead: head.method == .HEAD, context)
            case .failure(let error): handler.write(.text(.internalServerError, "\(error)"), isHead: false, context)
            }
        }
    }

    private func write(_ answer: EndpointResponse, isHead: Bool, _ context: ChannelHandlerContext) {
        let headers: HTTPHeaders = [
            "Content-Type": answer.contentType, "Content-Length": "\(answer.body.count)", "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "Connection": "close",
        ]
        let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !isHead {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
        }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    private func startTimer(_ time: TimeAmount, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }
}

@available(*, unavailable)
extension EndpointHandler: Sendable {}
