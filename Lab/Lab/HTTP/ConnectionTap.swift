package import NIOCore
import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Watches the connections of a server below TLS and HTTP.
package protocol ConnectionTap: Sendable {
    /// A connection was accepted.
    func accepted(from remote: SocketAddress?)
    /// Bytes arrived.
    func received(_ bytes: ByteBuffer, from remote: SocketAddress?)
}

/// Shows a tap everything that arrives, and passes it on.
final class ConnectionTapHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let tap: any ConnectionTap

    init(tap: any ConnectionTap) {
        self.tap = tap
    }

    func channelActive(context: ChannelHandlerContext) {
        tap.accepted(from: context.remoteAddress)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        tap.received(unwrapInboundIn(data), from: context.remoteAddress)
        context.fireChannelRead(data)
    }
}

@available(*, unavailable)
extension ConnectionTapHandler: Sendable {}

extension Channel {
    /// Closes the connection with a TCP reset instead of a FIN, and without a TLS `close_notify`.
    func reset() async {
        if let socket = self as? any SocketOptionProvider {
            try? await socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        }
        try? await eventLoop.flatSubmit {
            // Closing from the TLS handler's context goes past the handler, which would say goodbye first.
            guard let tls = try? self.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self) else {
                return self.close()
            }
            return tls.close()
        }.get()
    }
}
