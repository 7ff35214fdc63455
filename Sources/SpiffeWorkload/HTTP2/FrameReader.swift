import NIOCore

/// Cuts the frames out of a connection's bytes, and refuses what no client may send (RFC 9113, sections 3.4, 4 and 6).
struct FrameReader {
    /// The bytes that each connection begins with.
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// The most that a frame's payload may have: the default of SETTINGS_MAX_FRAME_SIZE, which this server leaves.
    static let payloadLimit = 16_384
    static let windowMax = Int(Int32.max)
    /// CONTINUATION frames that one header block may take.
    private static let continuationLimit = 5
    private static let settingLimit = 32

    /// The part of a header block that has arrived.
    private struct Block {
        let stream: Int
        let isLast: Bool
        var bytes: ByteBuffer
        var continuations = 0
    }

    private let blockLimit: Int
    private var bytes = ByteBuffer()
    private var block: Block?
    private var hasSettings = false
    /// Whether the client has said that it speaks HTTP/2.
    private(set) var hasPreface = false

    init(blockLimit: Int) {
        self.blockLimit = blockLimit
    }

    /// The bytes that are kept of what is not complete.
    var size: Int { bytes.readableBytes + (block?.bytes.readableBytes ?? 0) }

    mutating func append(_ more: ByteBuffer) {
        if bytes.readableBytes == 0 { bytes = more } else { bytes.writeImmutableBuffer(more) }
    }

    mutating func releaseRead() { bytes.releaseRead() }

    /// Takes out the next frame; `nil` until it is complete.
    ///
    /// - Throws: The breach that the frame is, or the bytes are.
    mutating func next() throws(HTTP2Breach) -> HTTP2Frame? {
        guard try readPreface() else { return nil }
        while let head = bytes.getInteger(at: bytes.readerIndex, as: UInt64.self),
            let last = bytes.getInteger(at: bytes.readerIndex + 8, as: UInt8.self)
        {
            let length = Int(head >> 40)
            guard length <= Self.payloadLimit else { throw .connection(.frameSizeError) }
            let whole = ByteBuffer.frameHeadLength + length
            guard bytes.readableBytes >= whole,
                let payload = bytes.getSlice(at: bytes.readerIndex + ByteBuffer.frameHeadLength, length: length)
            else { return nil }
            bytes.moveReaderIndex(forwardBy: whole)
            let type = HTTP2FrameType(rawValue: UInt8(truncatingIfNeeded: head >> 32))
            let flags = UInt8(truncatingIfNeeded: head >> 24)
            // The highest bit is reserved, and means nothing.
            let stream = Int(head & 0x7f_ffff) << 8 | Int(last)
            if let frame = try frame(type, flags, stream, payload) { return frame }
        }
        return nil
    }

    /// Reads the preface. Another protocol is noticed by its first byte.
    private mutating func readPreface() throws(HTTP2Breach) -> Bool {
        if hasPreface { return true }
        guard Self.preface.starts(with: bytes.readableBytesView.prefix(Self.preface.count)) else {
            throw .connection(.protocolError)
        }
        guard bytes.readableBytes >= Self.preface.count else { return false }
        bytes.moveReaderIndex(forwardBy: Self.preface.count)
        hasPreface = true
        return true
    }

    /// Returns the frame; `nil`: part of a header block that goes on.
    private mutating func frame(
        _ type: HTTP2FrameType?, _ flags: UInt8, _ stream: Int, _ payload: ByteBuffer
    ) throws(HTTP2Breach) -> HTTP2Frame? {
        // 6.10: nothing comes between the frames of a header block.
        try require(block == nil || type == .continuation)
        // 3.4: a client's first frame is SETTINGS.
        try require(hasSettings || (type == .settings && flags & HTTP2Flag.acknowledgement == 0))
        switch type {
        case .data:
            try require(stream != 0)
            let isLast = flags & HTTP2Flag.endStream != 0
            return .data(stream, try unpadded(payload, flags), size: payload.readableBytes, isLast: isLast)
        case .headers: return try headers(flags, stream, payload)
        case .continuation: return try continuation(flags, stream, payload)
        case .priority:
            try require(stream != 0)
            try require(payload.readableBytes == 5, .frameSizeError)
            return .other
        case .reset:
            try require(stream != 0)
            try require(payload.readableBytes == 4, .frameSizeError)
            return .reset(stream)
        case .settings:
            try require(stream == 0)
            return try settings(flags, payload)
        case .ping:
            try require(stream == 0)
            guard payload.readableBytes == 8, let data = payload.getInteger(at: payload.readerIndex, as: UInt64.self)
            else { throw .connection(.frameSizeError) }
            return flags & HTTP2Flag.acknowledgement != 0 ? .other : .ping(data)
        case .goAway:
            try require(stream == 0)
            try require(payload.readableBytes >= 8, .frameSizeError)
            return .other
        case .windowUpdate:
            guard payload.readableBytes == 4, let number = payload.getInteger(at: payload.readerIndex, as: UInt32.self)
            else { throw .connection(.frameSizeError) }
            return .windowUpdate(stream, increment: Int(number & 0x7fff_ffff))
        // 8.4: a client cannot push.
        case .pushPromise: throw .connection(.protocolError)
        // 5.5: unknown types mean nothing.
        case nil: return .other
        }
    }

    private func require(
        _ condition: Bool, _ code: HTTP2ErrorCode = .protocolError
    ) throws(HTTP2Breach) {
        guard condition else { throw .connection(code) }
    }

    /// The payload without the padding and its length (6.1, 6.2).
    private func unpadded(_ payload: ByteBuffer, _ flags: UInt8) throws(HTTP2Breach) -> ByteBuffer {
        guard flags & HTTP2Flag.padded != 0 else { return payload }
        var rest = payload
        guard let padding = rest.readInteger(as: UInt8.self) else { throw .connection(.frameSizeError) }
        guard Int(padding) <= rest.readableBytes, let bytes = rest.readSlice(length: rest.readableBytes - Int(padding))
        else { throw .connection(.protocolError) }
        return bytes
    }

    // MARK: Header blocks

    private mutating func headers(
        _ flags: UInt8, _ stream: Int, _ payload: ByteBuffer
    ) throws(HTTP2Breach) -> HTTP2Frame? {
        try require(stream != 0)
        var fragment = try unpadded(payload, flags)
        if flags & HTTP2Flag.priority != 0 {
            // Priorities are deprecated (5.3.2), and decide nothing here.
            try require(fragment.readableBytes >= 5, .frameSizeError)
            fragment.moveReaderIndex(forwardBy: 5)
        }
        try require(fragment.readableBytes <= blockLimit, .enhanceYourCalm)
        let isLast = flags & HTTP2Flag.endStream != 0
        if flags & HTTP2Flag.endHeaders != 0 { return .headers(stream, fragment, isLast: isLast) }
        block = Block(stream: stream, isLast: isLast, bytes: ByteBuffer(bytes: fragment.readableBytesView))
        return nil
    }

    private mutating func continuation(
        _ flags: UInt8, _ stream: Int, _ payload: ByteBuffer
    ) throws(HTTP2Breach) -> HTTP2Frame? {
        guard var open = block, open.stream == stream else { throw .connection(.protocolError) }
        block = nil
        open.continuations += 1
        let size = open.bytes.readableBytes + payload.readableBytes
        try require(open.continuations <= Self.continuationLimit && size <= blockLimit, .enhanceYourCalm)
        open.bytes.writeImmutableBuffer(payload)
        if flags & HTTP2Flag.endHeaders != 0 { return .headers(stream, open.bytes, isLast: open.isLast) }
        block = open
        return nil
    }

    // MARK: Settings

    private mutating func settings(_ flags: UInt8, _ payload: ByteBuffer) throws(HTTP2Breach) -> HTTP2Frame {
        if flags & HTTP2Flag.acknowledgement != 0 {
            try require(payload.readableBytes == 0, .frameSizeError)
            return .other
        }
        try require(payload.readableBytes.isMultiple(of: 6), .frameSizeError)
        try require(payload.readableBytes <= 6 * Self.settingLimit, .enhanceYourCalm)
        hasSettings = true
        var rest = payload
        var window: Int?
        while let identifier = rest.readInteger(as: UInt16.self), let value = rest.readInteger(as: UInt32.self) {
            switch identifier {
            // SETTINGS_ENABLE_PUSH
            case 2: try require(value <= 1)
            // SETTINGS_INITIAL_WINDOW_SIZE
            case 4:
                try require(value <= Self.windowMax, .flowControlError)
                window = Int(value)
            // SETTINGS_MAX_FRAME_SIZE: no frame of this server is larger than the least that it may be.
            case 5: try require((16_384...16_777_215).contains(value))
            // The size of the table is none of this server's: it sends literals alone. Others are advice, or unknown.
            default: continue
            }
        }
        return .settings(initialWindow: window)
    }
}

extension ByteBuffer {
    /// Lets go of the bytes that have been read: a few that are left must not keep the buffer of them all.
    mutating func releaseRead() {
        guard readerIndex > 0 else { return }
        self = readableBytes == 0 ? ByteBuffer() : ByteBuffer(bytes: readableBytesView)
    }
}
