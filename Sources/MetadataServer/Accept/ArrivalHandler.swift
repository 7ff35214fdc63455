import NIOCore
import NIOHTTP1

/// The first handler of a connection: tells the ``RequestHandler`` of bytes before the HTTP decoder sees them.
///
/// The decoder reports a request's head only when it is complete. Without this a client could spread the bytes of a head
/// over the whole idle timeout.
///
/// Bytes that are a known request skip the decoder. It is made for the first bytes that are not, so that a connection
/// that brings one request of the usual kind never has one.
final class ArrivalHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let handler: RequestHandler
    private let known: RequestCache
    private let limits: MetadataServerLimits
    private var hasDecoder = false
    /// Whether everything that arrived so far was whole requests, so that the next byte begins one. Once it is not known
    /// to be so, the decoder gets all that follows.
    private var isBetweenRequests = true

    init(_ handler: RequestHandler, known: RequestCache, limits: MetadataServerLimits) {
        self.handler = handler
        self.known = known
        self.limits = limits
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        handler.bytesArrived()
        if isBetweenRequests, let exchange = known[bytes] {
            handler.received(exchange)
            return
        }
        if !hasDecoder {
            hasDecoder = true
            do {
                try context.pipeline.syncOperations.addHandler(decoder(), position: .after(self))
            } catch {
                context.close(promise: nil)
                return
            }
        }
        context.fireChannelRead(data)
        handler.decoded(bytes.readableBytes)
        guard isBetweenRequests else { return }
        // The form alone does not tell: a body may be still to come.
        guard RequestCache.accepts(bytes), let exchange = handler.wholeExchange else {
            isBetweenRequests = false
            return
        }
        if exchange.request != nil { known.remember(bytes, as: exchange, from: handler.record?.owner) }
    }

    private func decoder() -> ByteToMessageHandler<HTTPRequestDecoder> {
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = limits.headers
        decoding.maxHeaderListSize = limits.headers
        decoding.maxHeaderFieldCount = limits.headerFields
        return ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding))
    }
}

@available(*, unavailable)
extension ArrivalHandler: Sendable {}

/// Asks a connection to end with the answer that it owes.
struct DrainRequested: Sendable {
    /// Whether a connection without a request may stay until it has had one more.
    var keepsIdle = false
}
