/// An error code of HTTP/2 (RFC 9113, section 7), as far as this server sends any.
enum HTTP2ErrorCode: UInt32, Sendable {
    case noError = 0x0
    case protocolError = 0x1
    case flowControlError = 0x3
    case streamClosed = 0x5
    case frameSizeError = 0x6
    case refusedStream = 0x7
    case compressionError = 0x9
    case enhanceYourCalm = 0xb
}

/// A breach of the protocol, and how much ends by it (RFC 9113, section 5.4).
enum HTTP2Breach: Error, Equatable {
    case connection(HTTP2ErrorCode)
    case stream(Int, HTTP2ErrorCode)
}
