import Attribution
import NIOCore
import NIOHPACK
import NIOHTTP2

/// One call: one HTTP/2 stream, from its headers to its trailers.
final class CallHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private enum State {
        case awaitingHead
        case reading(WorkloadMethod, CallBody)
        /// The answer is being made.
        case answering(WorkloadMethod)
        /// The answer's headers are sent, and more messages may follow.
        case streaming(WorkloadMethod, pod: PodUID, number: Int)
        case ended
    }

    private let store: IdentityStore
    private let peer: WorkloadPeer
    private let observer: any WorkloadObserver
    private var state = State.awaitingHead
    private var deadline: Scheduled<Void>?
    private var work: Task<Void, Never>?
    private var answer = CallResponse()
    private var share: BudgetShare
    /// Called at the stream's end.
    private let closed: @Sendable () -> Void
    /// Whether another handler serves the stream, and this one's removal is not its end.
    private var isHandedOn = false

    init(
        store: IdentityStore, peer: WorkloadPeer, observer: any WorkloadObserver, closed: @escaping @Sendable () -> Void
    ) {
        self.store = store
        self.peer = peer
        self.observer = observer
        self.closed = closed
        share = BudgetShare(store.budget, peer)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        if !isHandedOn { closed() }
    }

    /// Most requests arrive at once, and need no timer.
    func channelReadComplete(context: ChannelHandlerContext) {
        defer { context.fireChannelReadComplete() }
        guard deadline == nil else { return }
        switch state {
        case .awaitingHead, .reading: startDeadline(context)
        case .answering, .streaming, .ended: break
        }
    }

    private func startDeadline(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: store.configuration.requestTime) {
            let (handler, context) = bound.value
            handler.end(GRPCStatus(.unavailable, "the request did not arrive in time"), context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        release()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        release()
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let frame):
            guard case .awaitingHead = state else { return reset(context) }
            received(frame.headers, isLast: frame.endStream, context)
        case .data(let frame):
            guard case .byteBuffer(let bytes) = frame.data else { return reset(context) }
            received(bytes, isLast: frame.endStream, context)
        default: break
        }
    }

    private func received(_ headers: HPACKHeaders, isLast: Bool, _ context: ChannelHandlerContext) {
        do {
            let method = try CallRequest.method(
                of: headers, transport: peer.transport, authorities: store.configuration.authorities)
            guard method != .streamSecrets else { return try becomeSecretStream(isLast: isLast, context) }
            state = .reading(method, CallBody(limit: store.configuration.messageBytes))
            if isLast { end(.malformed, context) }
        } catch let error as CallRequest.NotGRPC {
            endPlainly(error.status, context)
        } catch let status as GRPCStatus {
            end(status, context)
        } catch {
            reset(context)
        }
    }

    /// Leaves the stream to a handler of calls whose request is a stream too.
    private func becomeSecretStream(isLast: Bool, _ context: ChannelHandlerContext) throws {
        guard !isLast else { throw GRPCStatus.malformed }
        release()
        isHandedOn = true
        context.channel.closeFuture.whenComplete { [closed] _ in closed() }
        let handler = SecretStreamHandler(store: store, peer: peer, observer: observer)
        try context.pipeline.syncOperations.addHandler(handler, position: .after(self))
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func received(_ bytes: ByteBuffer, isLast: Bool, _ context: ChannelHandlerContext) {
        guard case .reading(let method, var body) = state else {
            // Whatever follows the message, or an end that came before, changes nothing.
            return
        }
        do throws(GRPCStatus) {
            guard let message = try body.append(bytes) else {
                try share.set(body.size)
                state = .reading(method, body)
                if isLast { throw .malformed }
                return
            }
            deadline?.cancel()
            state = .answering(method)
            try begin(method, message, context)
        } catch {
            end(error, context)
        }
    }

    // MARK: Answering

    /// Answers at once where everything is cached; in a task otherwise.
    private func begin(
        _ method: WorkloadMethod, _ message: ByteBuffer, _ context: ChannelHandlerContext
    ) throws(GRPCStatus) {
        let call = try Call(method, message)
        if case .caller(let caller) = peer.identify(), let answer = call.answerAtHand(for: caller, store) {
            return finish(.success((caller.pod, answer)), method, context)
        }
        // Until the answer is sent: the call may wait for it.
        try share.set(message.readableBytes)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (loop, peer, store) = (context.eventLoop, peer, store)
        work = Task {
            let result = await call.answer(peer, store)
            loop.execute {
                let (handler, context) = bound.value
                handler.finish(result, method, context)
            }
        }
    }

    private func finish(
        _ result: Result<(PodRecord, ByteBuffer), GRPCStatus>, _ method: WorkloadMethod,
        _ context: ChannelHandlerContext
    ) {
        guard case .answering = state else { return }
        work = nil
        giveBack()
        switch result {
        case .failure(let status): end(status, context)
        case .success(let (pod, message)):
            guard method.isStream else {
                answer.write(message, context)
                return end(.ok, context)
            }
            stream(message, method, pod, context)
        }
    }

    private func stream(
        _ message: ByteBuffer, _ method: WorkloadMethod, _ pod: PodRecord, _ context: ChannelHandlerContext
    ) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        do throws(GRPCStatus) {
            let number = try store.open(
                method, for: pod, peer: peer, eventLoop: loop,
                changed: { pod in
                    loop.execute {
                        let (handler, context) = bound.value
                        handler.push(to: pod, context)
                    }
                },
                end: { status in
                    loop.execute {
                        let (handler, context) = bound.value
                        handler.end(status, context)
                    }
                })
            state = .streaming(method, pod: pod.uid, number: number)
        } catch {
            return end(error, context)
        }
        answer.write(message, context)
        context.flush()
        // A change during the making of the answer was pushed into no stream.
        if let latest = store.message(of: method, for: pod), latest != message { push(to: pod, context) }
    }

    private func push(to pod: PodRecord, _ context: ChannelHandlerContext) {
        guard case .streaming(let method, _, _) = state, let message = store.message(of: method, for: pod) else {
            return
        }
        guard context.channel.isWritable else { return end(.unread, context) }
        answer.write(message, context)
        context.flush()
        observer.pushed(method)
    }

    // MARK: Ends

    /// Ends the call with trailers, or with trailers alone.
    private func end(_ status: GRPCStatus, _ context: ChannelHandlerContext) {
        let method: WorkloadMethod?
        switch state {
        case .ended: return
        case .awaitingHead: method = nil
        case .reading(let named, _), .answering(let named), .streaming(let named, _, _): method = named
        }
        release()
        observer.ended(method, status, peer)
        answer.end(status, context)
    }

    private func endPlainly(_ status: Int, _ context: ChannelHandlerContext) {
        release()
        observer.ended(nil, with: .unimplemented)
        answer.endPlainly(status, context)
    }

    private func reset(_ context: ChannelHandlerContext) {
        release()
        answer.reset(context)
    }

    /// Gives up what the call holds. Nothing is sent after it but the end.
    private func release() {
        if case .streaming(_, let pod, let number) = state { store.remove(number, of: pod) }
        state = .ended
        deadline?.cancel()
        deadline = nil
        work?.cancel()
        work = nil
        giveBack()
    }

    /// Keeps nothing of the request any more.
    private func giveBack() {
        // Less always fits.
        try? share.set(0)
    }
}

@available(*, unavailable)
extension CallHandler: Sendable {}
