/// The attributes of one netlink message in the kernel's encoding: length, type, value, padded to four bytes.
struct NetlinkAttributes {
    private(set) var bytes: [UInt8] = []

    /// `NLA_F_NESTED`.
    private static let nested: UInt16 = 0x8000

    mutating func add(_ type: UInt16, _ value: [UInt8]) {
        bytes.append(host: UInt16(4 + value.count))
        bytes.append(host: type)
        bytes += value
        bytes.pad()
    }

    /// Text with its NUL, as the kernel's string attributes want it.
    mutating func add(_ type: UInt16, text: String) {
        add(type, Array(text.utf8) + [0])
    }

    /// A number in network order, which all of nf_tables' are.
    mutating func add(_ type: UInt16, number: UInt32) {
        add(type, number.networkBytes)
    }

    /// Attributes within an attribute.
    mutating func nest(_ type: UInt16, _ body: (inout NetlinkAttributes) -> Void) {
        var inner = NetlinkAttributes()
        body(&inner)
        add(type | Self.nested, inner.bytes)
    }
}

/// Reads attributes that the kernel wrote; what does not fit ends the walk.
struct NetlinkAttributeReader {
    private let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    /// The value of the first attribute of this type.
    subscript(type: UInt16) -> ArraySlice<UInt8>? {
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(rest.host16(at: 0))
            guard length >= 4, length <= rest.count else { return nil }
            if rest.host16(at: 2) & 0x3fff == type {
                return rest[(rest.startIndex + 4)..<(rest.startIndex + length)]
            }
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return nil
    }
}

extension [UInt8] {
    mutating func append(host value: UInt16) {
        #if _endian(little)
            self += [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
        #else
            self += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        #endif
    }

    mutating func append(host value: UInt32) {
        #if _endian(little)
            self += value.networkBytes.reversed()
        #else
            self += value.networkBytes
        #endif
    }

    mutating func pad() {
        while !count.isMultiple(of: 4) { append(0) }
    }
}

extension ArraySlice<UInt8> {
    func host16(at offset: Int) -> UInt16 {
        let (first, second) = (UInt16(self[startIndex + offset]), UInt16(self[startIndex + offset + 1]))
        #if _endian(little)
            return second << 8 | first
        #else
            return first << 8 | second
        #endif
    }

    func host32(at offset: Int) -> UInt32 {
        let (first, second) = (UInt32(host16(at: offset)), UInt32(host16(at: offset + 2)))
        #if _endian(little)
            return second << 16 | first
        #else
            return first << 16 | second
        #endif
    }

    /// The whole slice as one number in network order.
    var networkNumber: UInt64 { reduce(0) { $0 << 8 | UInt64($1) } }
}

extension UInt32 {
    var networkBytes: [UInt8] { stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> $0) } }
}
