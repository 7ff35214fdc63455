import NIOCore
import NIOHPACK
import NIOHTTP2

/// The answering half of one call: headers, messages, trailers.
struct CallResponse {
    private var hasSentHeaders = false
    private static let head: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]
    private static let success: HPACKHeaders = ["grpc-status": "0"]

    /// Writes a framed message, without a flush.
    mutating func write(_ message: ByteBuffer, _ context: ChannelHandlerContext) {
        if !hasSentHeaders {
            hasSentHeaders = true
            Self.send(.headers(.init(headers: Self.head, endStream: false)), context)
        }
        Self.send(.data(.init(data: .byteBuffer(message), endStream: false)), context)
    }

    /// Ends the call with trailers, or with trailers alone.
    func end(_ status: GRPCStatus, _ context: ChannelHandlerContext) {
        if hasSentHeaders, status == .ok {
            Self.send(.headers(.init(headers: Self.success, endStream: true)), context)
            return context.flush()
        }
        var trailers = hasSentHeaders ? HPACKHeaders() : Self.head
        trailers.add(name: "grpc-status", value: "\(status.code.rawValue)")
        if !status.message.isEmpty { trailers.add(name: "grpc-message", value: status.encodedMessage) }
        Self.send(.headers(.init(headers: trailers, endStream: true)), context)
        context.flush()
    }

    /// Ends a request that is none of gRPC with an HTTP status alone.
    func endPlainly(_ status: Int, _ context: ChannelHandlerContext) {
        Self.send(.headers(.init(headers: [":status": "\(status)"], endStream: true)), context)
        context.flush()
    }

    /// Ends a stream that breaks the protocol.
    func reset(_ context: ChannelHandlerContext) {
        Self.send(.rstStream(.protocolError), context)
        context.flush()
    }

    private static func send(_ payload: HTTP2Frame.FramePayload, _ context: ChannelHandlerContext) {
        context.write(NIOAny(payload), promise: nil)
    }
}
