/// Why a stream is no JSON, or none that this agent reads.
enum JSONDefect: Error, Sendable, Equatable {
    /// A byte that the grammar does not allow where it stands.
    case unexpected(UInt8)
    /// More objects and arrays within each other than ``JSONScanner/depthLimit``.
    case tooDeep
    /// A member that is there twice: what other readers would make of it is their choice.
    case duplicate
}

extension JSONDefect: CustomStringConvertible {
    var description: String {
        switch self {
        case .unexpected(let byte): "byte 0x\(String(byte, radix: 16)) where JSON allows none"
        case .tooDeep: "more than \(JSONScanner.depthLimit) levels of objects and arrays"
        case .duplicate: "a member that is there twice"
        }
    }
}

/// The objects and arrays that are open, one bit for each.
struct JSONNesting: Sendable {
    private(set) var depth = 0
    private var bits: [UInt64] = []

    /// Whether the innermost is an object.
    var isInObject: Bool { depth > 0 && bits[(depth - 1) / 64] >> UInt64((depth - 1) % 64) & 1 == 1 }

    /// Opens one more; `false`, and nothing is done, at ``JSONScanner/depthLimit``.
    mutating func push(isObject: Bool) -> Bool {
        guard depth < JSONScanner.depthLimit else { return false }
        if depth / 64 == bits.count { bits.append(0) }
        let bit = UInt64(1) << UInt64(depth % 64)
        if isObject { bits[depth / 64] |= bit } else { bits[depth / 64] &= ~bit }
        depth += 1
        return true
    }

    /// Closes the innermost and says whether it was an object; `nil` if none is open.
    mutating func pop() -> Bool? {
        guard depth > 0 else { return nil }
        let wasObject = isInObject
        depth -= 1
        return wasObject
    }
}

/// A position inside of a string.
enum JSONStringPart: Sendable {
    case plain
    /// The position after a backslash.
    case escape
    /// A position within `\uXXXX`: so many digits are missing.
    case hex(Int)
    /// A position within a character of UTF-8: so many bytes are missing, the next one in these bounds.
    case tail(Int, UInt8, UInt8)

    /// Reads on to the end of the string, which is behind `position` then, or of the chunk. Says whether the string ended.
    mutating func scan(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONDefect) -> Bool {
        let count = bytes.count
        while position < count {
            let byte = bytes[position]
            position += 1
            switch self {
            case .plain:
                if byte == 0x22 { return true }
                if byte == 0x5c {
                    self = .escape
                } else if byte < 0x20 {
                    throw .unexpected(byte)
                } else if byte >= 0x80 {
                    self = try Self.lead(byte)
                }
            case .escape:
                self = byte == UInt8(ascii: "u") ? .hex(4) : .plain
                guard byte == UInt8(ascii: "u") || Self.isEscape(byte) else { throw .unexpected(byte) }
            case .hex(let missing):
                guard Self.isHexDigit(byte) else { throw .unexpected(byte) }
                self = missing > 1 ? .hex(missing - 1) : .plain
            case .tail(let missing, let low, let high):
                guard byte >= low, byte <= high else { throw .unexpected(byte) }
                self = missing > 1 ? .tail(missing - 1, 0x80, 0xbf) : .plain
            }
        }
        return false
    }

    private static func isEscape(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            true
        default: false
        }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x66)
    }

    /// The well-formed byte sequences of Unicode, table 3-7.
    private static func lead(_ byte: UInt8) throws(JSONDefect) -> JSONStringPart {
        switch byte {
        case 0xc2...0xdf: .tail(1, 0x80, 0xbf)
        case 0xe0: .tail(2, 0xa0, 0xbf)
        case 0xed: .tail(2, 0x80, 0x9f)
        case 0xe1...0xef: .tail(2, 0x80, 0xbf)
        case 0xf0: .tail(3, 0x90, 0xbf)
        case 0xf1...0xf3: .tail(3, 0x80, 0xbf)
        case 0xf4: .tail(3, 0x80, 0x8f)
        default: throw .unexpected(byte)
        }
    }
}

/// A position inside of a number: after which of its parts.
enum JSONNumberPart: Sendable {
    case minus, zero, integer, point, fraction, exponent, exponentSign, exponentDigits

    /// Begins with `-` or a digit, a number's first byte.
    init(first byte: UInt8) {
        self = byte == UInt8(ascii: "-") ? .minus : byte == UInt8(ascii: "0") ? .zero : .integer
    }

    /// Whether a number may end here.
    var isComplete: Bool {
        switch self {
        case .zero, .integer, .fraction, .exponentDigits: true
        case .minus, .point, .exponent, .exponentSign: false
        }
    }

    /// The position after one more byte; `nil` if it does not belong to the number.
    func after(_ byte: UInt8) -> JSONNumberPart? {
        let isDigit = byte >= 0x30 && byte <= 0x39
        let isExponent = byte | 0x20 == UInt8(ascii: "e")
        switch self {
        case .minus: return isDigit ? JSONNumberPart(first: byte) : nil
        case .zero, .integer:
            if byte == UInt8(ascii: ".") { return .point }
            if isExponent { return .exponent }
            return isDigit && self == .integer ? .integer : nil
        case .point: return isDigit ? .fraction : nil
        case .fraction: return isDigit ? .fraction : isExponent ? .exponent : nil
        case .exponent:
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { return .exponentSign }
            return isDigit ? .exponentDigits : nil
        case .exponentSign, .exponentDigits: return isDigit ? .exponentDigits : nil
        }
    }
}

/// The three words of JSON.
enum JSONLiteral: String, Sendable {
    case yes = "true"
    case no = "false"
    case null

    init?(first byte: UInt8) {
        switch byte {
        case UInt8(ascii: "t"): self = .yes
        case UInt8(ascii: "f"): self = .no
        case UInt8(ascii: "n"): self = .null
        default: return nil
        }
    }
}
