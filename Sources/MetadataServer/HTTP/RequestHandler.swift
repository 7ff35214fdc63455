import Attribution
import EventLoops
import MetadataProtocol
import NIOCore
import NIOHTTP1

/// Carries out what ``ConnectionState`` decides for one connection.
///
/// Answers from a cache are written within the read that brought their request. For any other the handler starts one
/// task; its result comes back to this handler or, when the connection has gone, is dropped. The end of the task's time
/// ends its waiting alone: what it fetches belongs to the token service, not to the request.
final class RequestHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let tag: CallerTag
    let responder: MetadataResponder
    let limits: MetadataServerLimits
    let observer: any MetadataServerObserver
    let date: DateHeader
    let leased: ResponseCache
    /// The executor of the tasks that wait for what is not cached.
    let executor: EventLoopExecutor
    /// The debug dump's record of this connection.
    let record: ConnectionRecord?
    /// Whether the connection is one too many: its first request gets a 429.
    let refusesAll: Bool
    /// Learns what this connection holds of requests without an answer.
    let registry: ConnectionRegistry?

    var state: ConnectionState
    var current: Current?
    /// Counts the answers, so that a result that comes late is known as such.
    var generation = 0
    var turn = Turn.none
    /// Bytes that the decoder got and that belong to no answered request. Known requests keep none.
    var unanswered = 0
    /// The count that ``registry`` last got.
    var noted = 0
    /// Whether the channel asked to read at a time when it should not.
    var holdsRead = false
    /// Whether the last answer is written, or there will be none.
    var isClosing = false
    var timer = ConnectionTimer()
    /// The exchange of the latest read, if one request without a body ended in it; with its `request`, if that was
    /// valid.
    private(set) var wholeExchange: ConnectionState.Exchange?
    /// How many requests ended in the latest read.
    private var endsInRead = 0
    /// The latest request that was validated.
    var validated: MetadataRequest?
    private var context: ChannelHandlerContext?
    var channel: (any Channel)? { context?.channel }

    /// A read with the answers to it, or a later turn of them: everything that it writes is flushed at its end, at once.
    enum Turn {
        case none, begun, written
    }

    /// The request that is being answered.
    struct Current {
        var exchange: ConnectionState.Exchange
        var request: MetadataRequest
        var held: Held?
        var isFetching = false
        /// The moment when the request was complete and every request before it was answered.
        var startedAt: NIODeadline
        var hasFetched = false
    }

    /// A `wait_for_change` in progress.
    struct Held {
        var latest: Response
        var etag: String?
        var end: NIODeadline
    }

    init(
        tag: CallerTag,
        responder: MetadataResponder,
        limits: MetadataServerLimits,
        observer: any MetadataServerObserver,
        date: DateHeader,
        leased: ResponseCache = ResponseCache(),
        executor: EventLoopExecutor,
        record: ConnectionRecord? = nil,
        refusesAll: Bool = false,
        registry: ConnectionRegistry? = nil
    ) {
        self.tag = tag
        self.responder = responder
        self.limits = limits
        self.observer = observer
        self.date = date
        self.leased = leased
        self.executor = executor
        self.record = record
        self.refusesAll = refusesAll
        self.registry = registry
        self.state = ConnectionState(limits: limits)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        updateDeadline(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        generation += 1
        current = nil
        isClosing = true
        timer.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            answerHeld(context)
            perform(state.received(head: head), context)
        case .body(let bytes): perform(state.received(bodyBytes: bytes.readableBytes), context)
        case .end:
            endsInRead += 1
            let exchange = endsInRead == 1 ? state.onlyExchangeWithoutBody : nil
            validated = nil
            answerHeld(context)
            perform(state.receivedEnd(), context)
            wholeExchange = exchange
            wholeExchange?.request = validated
        }
    }

    /// Bytes arrived, of which nothing is decoded yet.
    func bytesArrived() {
        guard let context else { return }
        if turn == .none { turn = .begun }
        endsInRead = 0
        wholeExchange = nil
        answerHeld(context)
        state.receivedBytes()
        updateDeadline(context)
    }

    /// The decoder took `count` bytes, of which some may be of a request that is not complete.
    func decoded(_ count: Int) {
        unanswered += count
        noteUnanswered()
    }

    /// A known request arrived.
    func received(_ exchange: ConnectionState.Exchange) {
        guard !isClosing, let context else { return }
        answerHeld(context)
        perform(state.received(whole: exchange), context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        endTurn(context)
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            if isClosing {
                context.close(promise: nil)
            } else {
                perform(state.inputClosed(), context)
                endWatch(context)
            }
        case let drain as DrainRequested where !isClosing:
            perform(state.drain(keepsIdle: drain.keepsIdle), context)
            endWatch(context)
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if !isClosing {
            perform(state.writabilityChanged(context.channel.isWritable), context)
            noteUnanswered()
            resumeReading(context)
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else {
            // The connection was reset or failed: there is no client to answer.
            context.close(promise: nil)
            return
        }
        guard !isClosing else { return }
        answerHeld(context)
        switch error {
        case .headerOverflow:
            perform(state.received(.headersTooLarge(bytes: limits.headers, fields: limits.headerFields)), context)
        // The client went away within a request, or sent more after asking us to close.
        case .invalidEOFState, .closedConnection: break
        default: perform(state.received(.malformed("The request is not valid HTTP/1.1.")), context)
        }
    }

    func read(context: ChannelHandlerContext) {
        if readsOn {
            context.read()
        } else {
            holdsRead = true
        }
    }
}

@available(*, unavailable)
extension RequestHandler: Sendable {}
