import Attribution
import NIOCore

/// One StreamSecrets call: a client names secrets, acknowledges or rejects what it gets, and gets what changes.
///
/// The protocol is xDS, state of the world. A request that names the nonce of an older answer is outdated. One that names
/// that of the latest, and asks for nothing else, is an acknowledgement. Neither gets an answer.
final class SecretStreamHandler: HTTP2StreamHandler {
    private let stream: HTTP2Stream
    private let store: IdentityStore
    private let peer: WorkloadPeer
    private let observer: any WorkloadObserver
    private var messages: CallMessages
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

    init(_ stream: HTTP2Stream, store: IdentityStore, peer: WorkloadPeer, observer: any WorkloadObserver) {
        self.stream = stream
        self.store = store
        self.peer = peer
        self.observer = observer
        messages = CallMessages(limit: store.configuration.secretRequestBytes)
        share = BudgetShare(store.budget, peer)
    }

    private var response: CallResponse { CallResponse(stream: stream) }

    var wantsBytes: Bool { !hasEnded }

    func readEnded() {
        if names == nil { expectMessage() }
    }

    /// Ends the call unless a whole message arrives in time: half a message takes memory.
    private func expectMessage() {
        guard !hasEnded, deadline == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        deadline = stream.eventLoop.scheduleTask(in: store.configuration.requestTime) {
            bound.value.end(.late)
        }
    }

    func closed() { release() }

    func received(_ bytes: ByteBuffer, isLast: Bool) {
        guard !hasEnded else { return }
        messages.append(bytes)
        do throws(GRPCStatus) {
            while let message = try messages.next() {
                try received(message)
                guard !hasEnded else { return }
                deadline?.cancel()
                deadline = nil
            }
            messages.releaseRead()
            try share.set(messages.size)
            if !messages.isEmpty { expectMessage() }
            // A client that asks for nothing more may still listen; one that has asked for nothing may not.
            if isLast, names == nil { throw .malformed }
        } catch {
            end(error)
        }
    }

    private func received(_ message: ByteBuffer) throws(GRPCStatus) {
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
        if work == nil { obtain(request.names) }
    }

    /// Obtains what `names` stand for, and shows it.
    private func obtain(_ names: [String]) {
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        let (loop, peer, store) = (stream.eventLoop, peer, store)
        work = Task {
            let result = await store.fetchSecrets(names, for: peer)
            loop.execute {
                let handler = bound.value
                guard !handler.hasEnded else { return }
                handler.work = nil
                guard let wanted = handler.names, wanted != names else { return handler.finish(result) }
                handler.obtain(wanted)
            }
        }
    }

    private func finish(_ result: Result<FoundSecrets, GRPCStatus>) {
        switch result {
        case .failure(let status): end(status)
        case .success(let found):
            do throws(GRPCStatus) { try register(found.pod) } catch { return end(error) }
            show(found.subscription, found.secrets)
            // A change during the making of the answer was pushed into no stream.
            changed(found.pod)
        }
    }

    private func register(_ pod: PodRecord) throws(GRPCStatus) {
        guard registration == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        let loop = stream.eventLoop
        let number = try store.open(
            .streamSecrets, for: pod, peer: peer, eventLoop: loop,
            changed: { pod in loop.execute { bound.value.changed(pod) } },
            end: { status in loop.execute { bound.value.end(status) } })
        registration = (pod.uid, number)
    }

    private func show(_ subscription: SecretSubscription, _ secrets: [ByteBuffer]) {
        guard stream.isWritable else { return end(.unread) }
        if number > 0 { observer.pushed(.streamSecrets) }
        number += 1
        shown = (subscription, secrets)
        response.write(SecretMessages.response(secrets, number: number), isSecret: true)
        stream.flush()
    }

    /// Shows what the pod gets now, if it is something else than what was sent last.
    private func changed(_ pod: PodRecord) {
        guard !hasEnded, work == nil, let shown, let secrets = store.secrets(shown.subscription, for: pod),
            secrets != shown.secrets
        else { return }
        show(shown.subscription, secrets)
    }

    private func end(_ status: GRPCStatus) {
        guard !hasEnded else { return }
        release()
        observer.ended(.streamSecrets, status, peer)
        response.end(status)
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
        messages = CallMessages(limit: store.configuration.secretRequestBytes)
        // Less always fits.
        try? share.set(0)
    }
}

@available(*, unavailable)
extension SecretStreamHandler: Sendable {}
