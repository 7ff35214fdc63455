import NIOCore
import NIOHPACK
import NIOHTTP2

/// One call of a load.
final class LoadedCall: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    enum Outcome {
        case message(ByteBuffer)
        case failed(String)
    }

    private let head: HPACKHeaders
    private let body: ByteBuffer
    private let isStream: Bool
    /// Whether the stream stays open after its message.
    private let isHeld: Bool
    private var done: ((Outcome) -> Void)?
    private var bytes = ByteBuffer()

    init(
        _ head: HPACKHeaders, _ body: ByteBuffer, isStream: Bool, isHeld: Bool = false,
        done: @escaping (Outcome) -> Void
    ) {
        self.head = head
        self.body = body
        self.isStream = isStream
        self.isHeld = isHeld
        self.done = done
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.headers(.init(headers: head, endStream: false))), promise: nil)
        context.writeAndFlush(
            wrapOutboundOut(.data(.init(data: .byteBuffer(body), endStream: true))), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let frame):
            guard let status = frame.headers.first(name: "grpc-status") else { return }
            guard status == "0", let message else {
                return end(.failed("status \(status) \(frame.headers.first(name: "grpc-message") ?? "")"), context)
            }
            end(.message(message), context)
        case .data(let frame):
            guard case .byteBuffer(let part) = frame.data else { return }
            bytes.writeImmutableBuffer(part)
            if isStream, let message { end(.message(message), context) }
        default: return
        }
    }

    /// The first message, once it is whole.
    private var message: ByteBuffer? {
        guard let length = bytes.getInteger(at: bytes.readerIndex + 1, as: UInt32.self) else { return nil }
        return bytes.getSlice(at: bytes.readerIndex + 5, length: Int(length))
    }

    private func end(_ outcome: Outcome, _ context: ChannelHandlerContext) {
        guard let done else { return }
        self.done = nil
        if isStream, !isHeld { context.close(promise: nil) }
        done(outcome)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(.failed("\(error)"), context)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { end(.failed("the stream was closed"), context) }
}

@available(*, unavailable)
extension LoadedCall: Sendable {}
