import Attribution
import NIOCore
import NIOHTTP2

/// One StreamSecrets call: a client names secrets, acknowledges or rejects what it gets, and gets what changes.
///
/// The protocol is xDS, state of the world. A request that names the nonce of an older answer is outdated. One that names
/// that of the latest, and asks for nothing else, is an acknowledgement. Neither gets an answer.
final class SecretStreamHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let store: IdentityStore
    private let peer: WorkloadPeer
    private let observer: any WorkloadObserver
    private var messages: CallMessages
    private var answer = CallResponse()
    private var hasEnded = false
    private var deadline: Scheduled<Void>?
    private var work: Task<Void, Never>?
    /// The names of the latest request; `nil` before the first.
    private var names: [String]?
    /// The secrets that were sent last.
    private var shown: (subscription: SecretSubscription, secrets: [ByteBuffer])?
    private var registration: (pod: PodUID, number: Int)?
    /// Counts answers; 0: none was sent.
    private var number = 0
    private var share: BudgetShare

    init(store: IdentityStore, peer: WorkloadPeer, observer: any WorkloadObserver) {
        self.store = store
        self.peer = peer
        self.observer = observer
        messages = CallMessages(limit: store.configuration.secretRequestBytes)
        share = BudgetShare(store.budget, peer)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        expectMessage(context)
    }

    /// Ends the call unless a whole message arrives in time: half a message takes memory.
    private func expectMessage(_ context: ChannelHandlerContext) {
        guard deadline == nil else { return }
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
        guard !hasEnded, case .data(let frame) = unwrapInboundIn(data), case .byteBuffer(let bytes) = frame.data else {
            return
        }
        messages.append(bytes)
        do throws(GRPCStatus) {
            while let message = try messages.next() {
                try received(message, context)
                guard !hasEnded else { return }
                deadline?.cancel()
                deadline = nil
            }
            try share.set(messages.size)
            if !messages.isEmpty { expectMessage(context) }
            // A client that asks for nothing more may still listen; one that has asked for nothing may not.
            if frame.endStream, names == nil { throw .malformed }
        } catch {
            end(error, context)
        }
    }

    private func received(_ message: ByteBuffer, _ context: ChannelHandlerContext) throws(GRPCStatus) {
        let request: SecretMessages.Request
        do throws(ProtobufError) { request = try SecretMessages.request(message) } catch { throw .malformed }
        guard request.type.isEmpty || request.type == SecretMessages.secretType else {
            throw GRPCStatus(.invalidArgument, "secrets alone are served here")
        }
        if names != nil {
            guard request.nonce == (number == 0 ? "" : "\(number)") else { return }
            if request.isRejection { observer.rejected() }
            guard names != request.names else { return }
        }
        names = request.names
        // One at a time, however often the client changes its mind: the end of the one looks for other names.
        if work == nil { obtain(request.names, context) }
    }

    /// Obtains what `names` stand for, and shows it.
    private func obtain(_ names: [String], _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (loop, peer, store) = (context.eventLoop, peer, store)
        work = Task {
            let result = await store.fetchSecrets(names, for: peer)
            loop.execute {
                let (handler, context) = bound.value
                guard !handler.hasEnded else { return }
                handler.work = nil
                guard let wanted = handler.names, wanted != names else { return handler.finish(result, context) }
                handler.obtain(wanted, context)
            }
        }
    }

    private func finish(_ result: Result<FoundSecrets, GRPCStatus>, _ context: ChannelHandlerContext) {
        switch result {
        case .failure(let status): end(status, context)
        case .success(let found):
            do throws(GRPCStatus) { try register(found.pod, context) } catch { return end(error, context) }
            show(found.subscription, found.secrets, context)
            // A change during the making of the answer was pushed into no stream.
            changed(found.pod, context)
        }
    }

    private func register(_ pod: PodRecord, _ context: ChannelHandlerContext) throws(GRPCStatus) {
        guard registration == nil else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let number = try store.open(
            .streamSecrets, for: pod, peer: peer, eventLoop: loop,
            changed: { pod in
                loop.execute {
                    let (handler, context) = bound.value
                    handler.changed(pod, context)
                }
            },
            end: { status in
                loop.execute {
                    let (handler, context) = bound.value
                    handler.end(status, context)
                }
            })
        registration = (pod.uid, number)
    }

    private func show(
        _ subscription: SecretSubscription, _ secrets: [ByteBuffer], _ context: ChannelHandlerContext
    ) {
        guard context.channel.isWritable else { return end(.unread, context) }
        if number > 0 { observer.pushed(.streamSecrets) }
        number += 1
        shown = (subscription, secrets)
        answer.write(SecretMessages.response(secrets, number: number), context)
        context.flush()
    }

    /// Shows what the pod gets now, if it is something else than what was sent last.
    private func changed(_ pod: PodRecord, _ context: ChannelHandlerContext) {
        guard !hasEnded, work == nil, let shown, let secrets = store.secrets(shown.subscription, for: pod),
            secrets != shown.secrets
        else { return }
        show(shown.subscription, secrets, context)
    }

    private func end(_ status: GRPCStatus, _ context: ChannelHandlerContext) {
        guard !hasEnded else { return }
        release()
        observer.ended(.streamSecrets, status, peer)
        answer.end(status, context)
    }

    private func release() {
        if let registration { store.remove(registration.number, of: registration.pod) }
        registration = nil
        hasEnded = true
        deadline?.cancel()
        deadline = nil
        work?.cancel()
        work = nil
        shown = nil
        // Less always fits.
        try? share.set(0)
    }
}

@available(*, unavailable)
extension SecretStreamHandler: Sendable {}
