/// Decodes percent-encoding (RFC 3986, section 2.1) byte by byte, and tells which bytes were encoded.
struct PercentDecoder<Bytes: Collection<UInt8>> {
    struct Byte {
        var value: UInt8
        var isEncoded: Bool
    }

    private var rest: Bytes.SubSequence

    init(_ bytes: Bytes) {
        self.rest = bytes[...]
    }

    /// The next byte, or `nil` at the end. A `%` without two hexadecimal digits is malformed.
    mutating func next() throws(RequestRefusal) -> Byte? {
        guard let byte = rest.popFirst() else { return nil }
        guard byte == UInt8(ascii: "%") else { return Byte(value: byte, isEncoded: false) }
        guard let high = rest.popFirst()?.hexadecimalValue, let low = rest.popFirst()?.hexadecimalValue else {
            throw .malformed("A percent sign is not followed by two hexadecimal digits.")
        }
        return Byte(value: high << 4 | low, isEncoded: true)
    }
}

extension UInt8 {
    /// The value of the ASCII character as a hexadecimal digit.
    fileprivate var hexadecimalValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
