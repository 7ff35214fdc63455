import NIOCore
import NIOHPACK

/// Reads the header blocks of one connection: the table of HPACK is the connection's.
struct HeaderReader {
    /// A request's head: the call that it begins, and the length of its body where it says one.
    struct Request: Sendable {
        var call: CallRequest.Head
        var contentLength: Int?
    }

    private var decoder: HPACKDecoder
    /// The latest block that left the table as it was, and its meaning.
    ///
    /// Clients begin each call with the same bytes. They mean the same for as long as the table is the same: such a block is
    /// decoded and judged once.
    private var latest: (block: ByteBuffer, request: Request)?

    init(listLimit: Int) {
        decoder = HPACKDecoder(
            allocator: ByteBufferAllocator(), maxDynamicTableSize: HPACKDecoder.maxDynamicTableSize,
            maxHeaderListSize: listLimit)
    }

    /// Reads the block that begins a stream, and lets `judge` say what is called.
    ///
    /// - Returns: The head; `nil`: the message is malformed.
    mutating func request(
        _ block: ByteBuffer, _ judge: (HPACKHeaders) -> CallRequest.Head
    ) throws(HTTP2Breach) -> Request? {
        if let latest, latest.block == block { return latest.request }
        let isNeutral = Self.leavesTable(block)
        let headers = try decode(block)
        guard let fields = try? RequestFields(ofRequest: headers) else { return nil }
        let request = Request(call: judge(headers), contentLength: fields.contentLength)
        if isNeutral { latest = (ByteBuffer(bytes: block.readableBytesView), request) }
        return request
    }

    /// Reads the block that ends a stream; returns whether it may.
    mutating func trailers(_ block: ByteBuffer) throws(HTTP2Breach) -> Bool {
        let headers = try decode(block)
        return (try? RequestFields(ofTrailers: headers)) != nil
    }

    /// Reads a block for the table alone, of a stream that gets nothing.
    mutating func skip(_ block: ByteBuffer) throws(HTTP2Breach) {
        _ = try decode(block)
    }

    private mutating func decode(_ block: ByteBuffer) throws(HTTP2Breach) -> HPACKHeaders {
        if !Self.leavesTable(block) { latest = nil }
        var bytes = block
        do {
            return try decoder.decodeHeaders(from: &bytes)
        } catch is NIOHPACKErrors.MaxHeaderListSizeViolation {
            throw .connection(.enhanceYourCalm)
        } catch {
            // 4.3: the table is not the client's any more.
            throw .connection(.compressionError)
        }
    }

    // MARK: Blocks that leave the table as it is

    /// Whether a block has fields alone that neither enter the table nor change its size (RFC 7541, 6.1, 6.2.2 and 6.2.3).
    static func leavesTable(_ block: ByteBuffer) -> Bool {
        var rest = block.readableBytesView[...]
        while let first = rest.first {
            if first & 0x80 != 0 {
                guard number(&rest, bits: 7) != nil else { return false }
            } else {
                guard first & 0x60 == 0, let name = number(&rest, bits: 4), name != 0 || skipString(&rest),
                    skipString(&rest)
                else { return false }
            }
        }
        return true
    }

    /// Reads an integer (RFC 7541, 5.1); `nil`: not complete, or none of a block that is worth remembering.
    private static func number(_ bytes: inout ByteBufferView.SubSequence, bits: UInt8) -> Int? {
        guard let first = bytes.popFirst() else { return nil }
        let mask = (1 << Int(bits)) - 1
        var value = Int(first) & mask
        guard value == mask else { return value }
        for shift in [0, 7, 14] {
            guard let byte = bytes.popFirst() else { return nil }
            value += Int(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    private static func skipString(_ bytes: inout ByteBufferView.SubSequence) -> Bool {
        guard let length = number(&bytes, bits: 7), length <= bytes.count else { return false }
        bytes.removeFirst(length)
        return true
    }
}
