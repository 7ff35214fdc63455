import NIOCore

/// A frame that a client has sent, whole, and checked as far as that needs no other frame (RFC 9113, section 6).
enum HTTP2Frame {
    /// The padding is not among the bytes. Flow control counts it: `size` is with it.
    case data(Int, ByteBuffer, size: Int, isLast: Bool)
    /// A whole header block: that of a HEADERS frame, and of the CONTINUATION frames after it.
    case headers(Int, ByteBuffer, isLast: Bool)
    case reset(Int)
    /// SETTINGS. The one value that changes what this server does is the window of new streams.
    case settings(initialWindow: Int?)
    case ping(UInt64)
    case windowUpdate(Int, increment: Int)
    /// PRIORITY, GOAWAY, an acknowledgement, or a type that is not known: nothing to do but to count it.
    case other
}

/// The types of frames.
enum HTTP2FrameType: UInt8 {
    case data = 0
    case headers = 1
    case priority = 2
    case reset = 3
    case settings = 4
    case pushPromise = 5
    case ping = 6
    case goAway = 7
    case windowUpdate = 8
    case continuation = 9
}

/// The flags of frames. One bit stands for the end of a stream, and for an acknowledgement.
enum HTTP2Flag {
    static let endStream: UInt8 = 0x1
    static let acknowledgement: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4
    static let padded: UInt8 = 0x8
    static let priority: UInt8 = 0x20
}

extension ByteBuffer {
    /// The length of the header of a frame.
    static var frameHeadLength: Int { 9 }

    /// Writes the header of a frame, whose payload follows.
    mutating func writeFrameHead(_ type: HTTP2FrameType, flags: UInt8 = 0, stream: Int, length: Int) {
        let number = UInt64(truncatingIfNeeded: stream)
        writeInteger(
            UInt64(truncatingIfNeeded: length) << 40 | UInt64(type.rawValue) << 32 | UInt64(flags) << 24 | number >> 8)
        writeInteger(UInt8(truncatingIfNeeded: number))
    }
}
