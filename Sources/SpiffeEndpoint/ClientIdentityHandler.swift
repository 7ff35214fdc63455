import Attribution
import NIOCore
import NIOSSL
import NIOTLS
import SpiffeIdentity
import SpiffeWorkload

/// Holds what a client proves by a certificate against what the kernel says: another pod's certificate is refused.
///
/// Stands behind TLS. Without a certificate it changes nothing.
final class ClientIdentityHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// The handshake has not ended.
        case shaking
        /// The caller is not known yet; with what arrived meanwhile.
        case waiting([ByteBuffer])
        case passing
        case refusing
        /// The caller is unknown, and its certificate cannot be compared.
        case closing
    }

    private let identify: @Sendable () -> Identification
    private let identifyHolding: @Sendable (Duration) async -> Identification
    private let id: @Sendable (PodRecord) -> SpiffeID?
    private let refused: @Sendable (PodRecord) -> Void
    /// Given back with the connection.
    private let place: PodConnectionLimit.Place
    private var state = State.shaking

    /// The time for which the metadata protocol holds a request of a pod that is not known yet.
    private static let holdLimit = Duration.seconds(10)
    /// One request may arrive while the caller is not known: more is no client of this protocol.
    private static let heldReads = 8

    init(
        identify: @escaping @Sendable () -> Identification,
        identifyHolding: @escaping @Sendable (Duration) async -> Identification,
        id: @escaping @Sendable (PodRecord) -> SpiffeID?, place: PodConnectionLimit.Place,
        refused: @escaping @Sendable (PodRecord) -> Void
    ) {
        self.identify = identify
        self.identifyHolding = identifyHolding
        self.id = id
        self.place = place
        self.refused = refused
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event { handshakeCompleted(context) }
        context.fireUserInboundEventTriggered(event)
    }

    private func handshakeCompleted(_ context: ChannelHandlerContext) {
        guard let tls = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self),
            let certificate = tls.peerCertificate
        else {
            state = .passing
            return
        }
        let shown = (try? certificate.toDERBytes()).flatMap { SpiffeID(certificate: $0) }
        let known = identify()
        guard case .pending = known else { return decide(known, shown) }
        state = .waiting([])
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (loop, identifyHolding, limit) = (context.eventLoop, identifyHolding, Self.holdLimit)
        Task {
            let known = await identifyHolding(limit)
            loop.execute {
                let (handler, context) = bound.value
                guard case .waiting(let held) = handler.state else { return }
                handler.decide(known, shown)
                for bytes in held { handler.received(bytes, context) }
                context.fireChannelReadComplete()
            }
        }
    }

    private func decide(_ known: Identification, _ shown: SpiffeID?) {
        switch known {
        case .caller(let caller) where shown == nil || shown != id(caller.pod):
            state = .refusing
            refused(caller.pod)
        // A caller that the metadata server refuses gets its words.
        case .caller, .refused: state = .passing
        case .pending: state = .closing
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received(unwrapInboundIn(data), context)
    }

    private func received(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        switch state {
        case .passing: context.fireChannelRead(wrapInboundOut(bytes))
        case .waiting(let held) where held.count < Self.heldReads: state = .waiting(held + [bytes])
        case .refusing:
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: Self.refusal))).whenComplete { _ in
                bound.value.close(promise: nil)
            }
        case .waiting, .shaking, .closing: context.close(promise: nil)
        }
    }

    private static let reason = "the client certificate is not that of the pod which the connection comes from\n"
    private static let refusal = """
        HTTP/1.1 403 Forbidden\r
        Metadata-Flavor: Google\r
        Content-Type: text/plain; charset=utf-8\r
        Content-Length: \(reason.utf8.count)\r
        Connection: close\r
        \r
        \(reason)
        """
}

@available(*, unavailable)
extension ClientIdentityHandler: Sendable {}
