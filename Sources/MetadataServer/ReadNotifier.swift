import NIOCore

/// Tells the handlers behind the HTTP decoder that bytes arrived, before the decoder sees them.
///
/// The decoder reports a request's head only when it is complete. Without this a client could spread the bytes of a head
/// over the whole idle timeout.
final class ReadNotifier: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    struct BytesArrived {}

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireUserInboundEventTriggered(BytesArrived())
        context.fireChannelRead(data)
    }
}

@available(*, unavailable)
extension ReadNotifier: Sendable {}

/// Asks a connection to end with the answer that it owes.
struct DrainRequested: Sendable {
    /// Whether a connection without a request may stay until it has had one more.
    var keepsIdle = false
}
