import NIOCore

/// Writes the parts of Protocol Buffers' wire format that the Workload API has: varints, doubles, and what has a length.
struct ProtobufWriter {
    private(set) var buffer: ByteBuffer

    init(capacity: Int = 256) {
        buffer = ByteBufferAllocator().buffer(capacity: capacity)
    }

    enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
        case fixed32 = 5
    }

    mutating func write(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        buffer.writeInteger(UInt8(rest))
    }

    private mutating func write(tag field: Int, _ type: WireType) {
        write(varint: UInt64(field) << 3 | type.rawValue)
    }

    /// Writes a field of bytes; empty ones are left out, as proto3 does.
    mutating func write(_ field: Int, bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty else { return }
        write(tag: field, .lengthDelimited)
        write(varint: UInt64(bytes.count))
        buffer.writeBytes(bytes)
    }

    mutating func write(_ field: Int, string: String) {
        write(field, bytes: string.utf8)
    }

    /// Writes a message as a field, also an empty one: whether it is there is its meaning.
    mutating func write(_ field: Int, message write: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        write(&inner)
        self.write(tag: field, .lengthDelimited)
        self.write(varint: UInt64(inner.buffer.readableBytes))
        buffer.writeImmutableBuffer(inner.buffer)
    }

    /// Writes one entry of a map.
    mutating func write(_ field: Int, key: String, value: some Collection<UInt8>) {
        write(field) { entry in
            entry.write(1, string: key)
            entry.write(2, bytes: value)
        }
    }

    /// Writes a field that is one of several: its default value counts too.
    mutating func write(_ field: Int, choice value: Double) {
        write(tag: field, .fixed64)
        buffer.writeInteger(value.bitPattern, endianness: .little)
    }

    mutating func write(_ field: Int, choice value: UInt64) {
        write(tag: field, .varint)
        write(varint: value)
    }

    mutating func write(_ field: Int, choice value: String) {
        write(tag: field, .lengthDelimited)
        write(varint: UInt64(value.utf8.count))
        buffer.writeString(value)
    }
}
