import MetadataProtocol
import NIOCore
import NIOHTTP1

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension RequestHandler {
    func perform(_ action: ConnectionState.Action, _ context: ChannelHandlerContext) {
        switch action {
        case .none: break
        case .close: close(context)
        case .yield: context.eventLoop.assumeIsolated().execute { self.takeTurn(context) }
        case .answer(let exchange): answer(exchange, context)
        case .drop: observer.limitHit(.pipelinedRequests)
        case .refuse(let refusal):
            if let limit = refusal.limit { observer.limitHit(limit) }
            let exchange = ConnectionState.Exchange(head: Self.noHead, closes: true)
            finish(responder.response(to: refusal), exchange, .unrouted, lingers: true, context)
        }
        if turn == .none { updateDeadline(context) }
    }

    /// Answers some more of the requests that wait, after the event loop has served its other connections.
    private func takeTurn(_ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        // Bytes that a read has written and not flushed yet stay to be flushed.
        if turn == .none { turn = .begun }
        perform(state.turnBegan(), context)
        endTurn(context)
        noteUnanswered()
    }

    /// Flushes what was written since the turn began.
    func endTurn(_ context: ChannelHandlerContext) {
        let hasWritten = turn == .written
        turn = .none
        if hasWritten { context.flush() }
        updateDeadline(context)
    }

    /// Stands for a request whose head is not known, or not to be trusted.
    private static let noHead = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")

    private func answer(_ exchange: ConnectionState.Exchange, _ context: ChannelHandlerContext) {
        if refusesAll {
            var exchange = exchange
            exchange.closes = true
            let response = responder.response(to: .tooManyConnections(limit: limits.connectionsPerPod))
            finish(response, exchange, .unrouted, lingers: true, context)
            return
        }
        let request: MetadataRequest
        do throws(RequestRefusal) {
            request = if let known = exchange.request { known } else { try responder.validate(exchange.head) }
        } catch {
            let routeClass = responder.routeClass(of: exchange.head)
            var exchange = exchange
            if case .malformed = error { exchange.closes = true }
            finish(responder.response(to: error, of: exchange.head), exchange, routeClass, context)
            return
        }
        validated = request
        current = Current(exchange: exchange, request: request, startedAt: context.eventLoop.now)
        let caller = responder.identify(tag)
        if let cached = responder.cachedAnswer(to: request, as: caller, in: leased) {
            finish(cached.response, exchange, request.routeClass, cached: cached, context)
            return
        }
        switch responder.decide(request, as: caller, leased: leased) {
        case .answer(let response): finish(response, exchange, request.routeClass, context)
        case let outcome: resolve(outcome, context)
        }
    }

    func resolve(_ outcome: MetadataResponder.Outcome, _ context: ChannelHandlerContext) {
        guard var current else { return }
        if let held = current.held {
            resolve(outcome, held: held, context)
            return
        }
        switch outcome {
        case .answer(let response):
            finish(response, context)
        case .wait:
            fetch(context)
        case .hold(let response, let known, let seconds):
            let longest = limits.watchTimeout
            let time = seconds.map { $0 < longest.nanoseconds / 1_000_000_000 ? .seconds($0) : longest } ?? longest
            current.held = Held(latest: response, etag: known, end: context.eventLoop.now + time)
            // An answer's framing needs the method and the version. The rest may be 32 KiB, for an hour.
            current.exchange.head.headers = [:]
            current.exchange.head.uri = ""
            self.current = current
            if state.allowsWatch {
                startTimer(untilNextLook: context)
                resumeReading(context)
            } else {
                endWatch(context)
            }
        }
    }

    /// One look at the value of a held request.
    private func resolve(_ outcome: MetadataResponder.Outcome, held: Held, _ context: ChannelHandlerContext) {
        switch outcome {
        case .answer(let response): finish(response, context)
        case .wait: fetch(context)
        case .hold(let response, _, _):
            if response.etag != held.etag {
                finish(response, context)
            } else {
                current?.held?.latest = response
                startTimer(untilNextLook: context)
            }
        }
    }

    private func fetch(_ context: ChannelHandlerContext) {
        guard let request = current?.request, current?.isFetching == false else { return }
        current?.isFetching = true
        current?.hasFetched = true
        let (responder, tag, generation, executor) = (responder, tag, generation, executor)
        let limit = min(limits.waitBudget, request.waitBudget ?? limits.waitBudget)
        let outcome = context.eventLoop.makePromise(of: MetadataResponder.Outcome.self)
        Task(executorPreference: executor) {
            outcome.succeed(await responder.respondWaiting(to: request, from: tag, within: limit, on: executor))
        }
        outcome.futureResult.assumeIsolated().whenSuccess { outcome in
            guard generation == self.generation, self.current != nil else { return }
            self.current?.isFetching = false
            self.resolve(outcome, context)
        }
        updateDeadline(context)
    }

    func endWatch(_ context: ChannelHandlerContext) {
        guard let held = current?.held else { return }
        current?.exchange.closes = true
        finish(held.latest, context)
    }

    /// Answers the held request, if there is one, with its value of now: the client sent more, and wants that answered.
    ///
    /// While a request is held the connection is read, so that its end is seen even behind bytes. They must not pile up.
    func answerHeld(_ context: ChannelHandlerContext) {
        guard let held = current?.held else { return }
        finish(held.latest, context)
    }

    func finish(_ response: Response, _ context: ChannelHandlerContext) {
        guard let current else { return }
        finish(response, current.exchange, current.request.routeClass, context)
    }

    private func finish(
        _ response: Response,
        _ exchange: ConnectionState.Exchange,
        _ routeClass: RouteClass,
        lingers: Bool = false,
        cached: CachedResponse? = nil,
        _ context: ChannelHandlerContext
    ) {
        let closes = exchange.closes || response.closesConnection || state.isLastAnswer
        let now = context.eventLoop.now
        observe(response, routeClass, now)
        current = nil
        generation += 1
        record?.countAnswer()
        let framing = Response.Framing(exchange.head, keepsAlive: !closes)
        let buffer: ByteBuffer
        if let cached {
            buffer = cached.bytes(framing: framing, date: date.value(at: now))
        } else {
            var written = context.channel.allocator.buffer(capacity: response.capacity(framing: framing))
            response.write(to: &written, framing: framing, date: date.value(at: now))
            buffer = written
        }
        guard !closes else {
            writeLast(buffer, lingers: lingers, context)
            return
        }
        context.write(wrapOutboundOut(buffer), promise: nil)
        switch turn {
        case .none: context.flush()
        case .begun, .written: turn = .written
        }
        perform(state.answered(), context)
        if unanswered > 0, turn == .none { noteUnanswered() }
        resumeReading(context)
    }

    private func observe(_ response: Response, _ routeClass: RouteClass, _ now: NIODeadline) {
        let isTimed = current != nil && current?.held == nil
        observer.requestAnswered(
            AnsweredRequest(
                route: routeClass, status: response.status, source: current?.hasFetched == true ? .fetched : .cached,
                pod: record?.owner,
                nanoseconds: isTimed ? current.map { (now - $0.startedAt).nanoseconds } : nil
            )
        )
        guard let cause = response.cause, case .text(let body) = response.body else { return }
        let text = response.explanation ?? body
        observer.requestRefused(
            RefusedRequest(tag: tag, route: routeClass, status: response.status, cause: cause, text: text))
    }

    func resumeReading(_ context: ChannelHandlerContext) {
        guard holdsRead, readsOn else { return }
        holdsRead = false
        context.read()
    }

    /// Writes the answer that ends the connection, and closes when the kernel has it.
    private func writeLast(_ buffer: ByteBuffer, lingers: Bool, _ context: ChannelHandlerContext) {
        isClosing = true
        record?.enter(.closing, at: context.eventLoop.now)
        startTimer(after: limits.requestTimeout, context)
        if !lingers {
            // The end travels with the answer: one packet, and it is not the pod that keeps the port in TIME_WAIT because
            // it closed first. Closing lets the cork go.
            try? context.channel.syncOptions?.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: TCP_CORK)), value: 1)
        }
        context.writeAndFlush(wrapOutboundOut(buffer)).assumeIsolated().whenComplete { _ in
            guard lingers, context.channel.isActive else {
                context.close(promise: nil)
                return
            }
            context.close(mode: .output, promise: nil)
            self.startTimer(after: self.limits.lingerTimeout, context)
            self.resumeReading(context)
        }
    }

    /// Closes when the kernel has everything that was written.
    private func close(_ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        writeLast(ByteBuffer(), lingers: false, context)
    }
}
