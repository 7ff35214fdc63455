import Attribution
import NIOCore

/// One call of a method that takes one message: from its body to its trailers.
final class CallHandler: HTTP2StreamHandler {
    private enum State {
        case reading(CallBody)
        /// The answer is being made.
        case answering
        /// The answer's headers are sent, and more messages may follow.
        case streaming(pod: PodUID, number: Int)
        case ended
    }

    private let method: WorkloadMethod
    private let stream: HTTP2Stream
    private let store: IdentityStore
    private let peer: WorkloadPeer
    private let observer: any WorkloadObserver
    private var state: State
    private var deadline: Scheduled<Void>?
    private var work: Task<Void, Never>?
    private var share: BudgetShare

    init(
        _ method: WorkloadMethod, _ stream: HTTP2Stream, store: IdentityStore, peer: WorkloadPeer,
        observer: any WorkloadObserver
    ) {
        self.method = method
        self.stream = stream
        self.store = store
        self.peer = peer
        self.observer = observer
        state = .reading(CallBody(limit: store.configuration.messageBytes))
        share = BudgetShare(store.budget, peer)
    }

    private var response: CallResponse { CallResponse(stream: stream) }

    /// Whether bytes are read: those that follow the message change nothing.
    var wantsBytes: Bool { if case .reading = state { true } else { false } }

    /// Most requests arrive at once, and need no timer.
    func readEnded() {
        guard wantsBytes, deadline == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        deadline = stream.eventLoop.scheduleTask(in: store.configuration.requestTime) {
            bound.value.end(.late)
        }
    }

    func closed() { release() }

    func received(_ bytes: ByteBuffer, isLast: Bool) {
        guard case .reading(var body) = state else { return }
        // A second reference would have each piece copy those before it.
        state = .answering
        do throws(GRPCStatus) {
            guard let message = try body.append(bytes) else {
                try share.set(body.size)
                state = .reading(body)
                if isLast { throw .malformed }
                return
            }
            deadline?.cancel()
            try begin(message)
        } catch {
            end(error)
        }
    }

    // MARK: Answering

    /// Answers at once where everything is cached; in a task otherwise.
    private func begin(_ message: ByteBuffer) throws(GRPCStatus) {
        let call = try Call(method, message)
        if case .caller(let caller) = peer.identify(), let answer = call.answerAtHand(for: caller, store) {
            return finish(.success((caller.pod, answer)))
        }
        // Until the answer is sent: the call may wait for it.
        try share.set(message.readableBytes)
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        let (loop, peer, store) = (stream.eventLoop, peer, store)
        work = Task {
            let result = await call.answer(peer, store)
            loop.execute { bound.value.finish(result) }
        }
    }

    private func finish(_ result: Result<(PodRecord, ByteBuffer), GRPCStatus>) {
        guard case .answering = state else { return }
        work = nil
        giveBack()
        switch result {
        case .failure(let status): end(status)
        case .success(let (pod, message)):
            guard method.isStream else {
                response.write(message, isSecret: false)
                return end(.ok)
            }
            show(message, pod)
        }
    }

    /// Begins the stream of messages.
    private func show(_ message: ByteBuffer, _ pod: PodRecord) {
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        let loop = stream.eventLoop
        do throws(GRPCStatus) {
            let number = try store.open(
                method, for: pod, peer: peer, eventLoop: loop,
                changed: { pod in loop.execute { bound.value.push(to: pod) } },
                end: { status in loop.execute { bound.value.end(status) } })
            state = .streaming(pod: pod.uid, number: number)
        } catch {
            return end(error)
        }
        response.write(message, isSecret: method.showsCertificate)
        stream.flush()
        // A change during the making of the answer was pushed into no stream.
        if let latest = store.message(of: method, for: pod), latest != message { push(to: pod) }
    }

    private func push(to pod: PodRecord) {
        guard case .streaming = state, let message = store.message(of: method, for: pod) else { return }
        guard stream.isWritable else { return end(.unread) }
        response.write(message, isSecret: method.showsCertificate)
        stream.flush()
        observer.pushed(method)
    }

    // MARK: Ends

    /// Ends the call with trailers, or with trailers alone.
    private func end(_ status: GRPCStatus) {
        if case .ended = state { return }
        release()
        observer.ended(method, status, peer)
        response.end(status)
    }

    /// Gives up what the call holds. Nothing is sent after it but the end.
    private func release() {
        if case .streaming(let pod, let number) = state { store.remove(number, of: pod) }
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
