import NIOCore

/// The answering half of one call: headers, messages, trailers.
struct CallResponse {
    /// More of a status message than this is of no use to a reader, and too much for some clients.
    private static let messageLimit = 4096
    private static let head = FieldBlock([(":status", "200"), ("content-type", "application/grpc")])
    private static let success = FieldBlock([("grpc-status", "0")])

    let stream: HTTP2Stream

    /// Writes a framed message, without a flush.
    func write(_ message: ByteBuffer, isSecret: Bool) {
        if !stream.hasSentHead { stream.write(head: Self.head) }
        stream.write(HTTP2Data(bytes: message, isSecret: isSecret))
    }

    /// Ends the call with trailers, or with trailers alone.
    func end(_ status: GRPCStatus) {
        if stream.hasSentHead, status == .ok {
            stream.end(Self.success)
        } else {
            var trailers = stream.hasSentHead ? FieldBlock([]) : Self.head
            trailers.add("grpc-status", "\(status.code.rawValue)")
            if !status.message.isEmpty {
                trailers.add("grpc-message", String(status.encodedMessage.prefix(Self.messageLimit)))
            }
            stream.end(trailers, isFailure: status != .ok)
        }
        stream.flush()
    }

    /// Ends a request that is none of gRPC with an HTTP status alone.
    func endPlainly(_ status: Int) {
        stream.end(FieldBlock([(":status", "\(status)")]))
        stream.flush()
    }
}
