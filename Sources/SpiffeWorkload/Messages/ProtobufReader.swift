import NIOCore

/// Reads the fields of one message of Protocol Buffers' wire format. Refuses what does not end where it says, groups, and
/// varints of more than 64 bits.
struct ProtobufReader {
    enum Value: Equatable {
        case number(UInt64)
        case bytes(ByteBuffer)

        /// The text of a string field; `nil` if it is none, or not UTF-8.
        var string: String? {
            guard case .bytes(let bytes) = self else { return nil }
            return String(validating: bytes.readableBytesView, as: UTF8.self)
        }
    }

    private var bytes: ByteBuffer
    /// A request of the Workload API has two kinds of fields; more than this is no request.
    private static let fieldLimit = 1024
    private var fields = 0

    init(_ bytes: ByteBuffer) {
        self.bytes = bytes
    }

    /// The next field; `nil` at the end.
    ///
    /// - Throws: ``ProtobufError`` where the bytes are no message.
    mutating func next() throws(ProtobufError) -> (field: Int, value: Value)? {
        guard bytes.readableBytes > 0 else { return nil }
        fields += 1
        guard fields <= Self.fieldLimit else { throw ProtobufError() }
        let tag = try varint()
        guard let field = Int(exactly: tag >> 3), (1..<(1 << 29)).contains(field) else { throw ProtobufError() }
        switch ProtobufWriter.WireType(rawValue: tag & 7) {
        case .varint: return (field, .number(try varint()))
        case .fixed64: return (field, .number(try fixed(UInt64.self)))
        case .fixed32: return (field, .number(UInt64(try fixed(UInt32.self))))
        case .lengthDelimited:
            guard let length = Int(exactly: try varint()), let slice = bytes.readSlice(length: length) else {
                throw ProtobufError()
            }
            return (field, .bytes(slice))
        case nil: throw ProtobufError()
        }
    }

    private mutating func fixed<Number: FixedWidthInteger>(_ type: Number.Type) throws(ProtobufError) -> Number {
        guard let number = bytes.readInteger(endianness: .little, as: type) else { throw ProtobufError() }
        return number
    }

    private mutating func varint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard let byte = bytes.readInteger(as: UInt8.self) else { throw ProtobufError() }
            let bits = UInt64(byte & 0x7f)
            guard shift < 63 || bits <= 1 else { throw ProtobufError() }
            value |= bits << shift
            if byte < 0x80 { return value }
        }
        throw ProtobufError()
    }
}

/// Bytes that are no message.
struct ProtobufError: Error, Equatable {}
