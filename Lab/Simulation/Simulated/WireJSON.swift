/// JSON (RFC 8259) as the world reads it from what agents send and write: strict, and without types to decode into, whose cost
/// would be most of a simulated call's.
enum WireJSON {
    case text(String)
    case number(Int)
    case list([WireJSON])
    case object([(name: String, value: WireJSON)])
    /// `true`, `false`, `null`, and numbers that are no integers.
    case other

    /// `nil`: the bytes are not one value of JSON, be it with white space around it.
    init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard let value = reader.value(depth: 0), reader.isAtEnd else { return nil }
        self = value
    }

    /// The first member of this name of an object.
    subscript(name: String) -> WireJSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    var text: String? { if case .text(let text) = self { text } else { nil } }
    var number: Int? { if case .number(let number) = self { number } else { nil } }

    /// The texts of a list of nothing else.
    var texts: [String]? {
        guard case .list(let values) = self else { return nil }
        let texts = values.compactMap(\.text)
        return texts.count == values.count ? texts : nil
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        var isAtEnd: Bool {
            mutating get {
                skipSpace()
                return position == bytes.count
            }
        }

        private mutating func skipSpace() {
            while position < bytes.count {
                let byte = bytes[position]
                guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
                position += 1
            }
        }

        /// Reads past `byte`, if it comes next.
        private mutating func takes(_ byte: UInt8) -> Bool {
            skipSpace()
            guard position < bytes.count, bytes[position] == byte else { return false }
            position += 1
            return true
        }

        mutating func value(depth: Int) -> WireJSON? {
            guard depth < 32 else { return nil }
            if takes(UInt8(ascii: "{")) { return object(depth: depth) }
            if takes(UInt8(ascii: "[")) { return list(depth: depth) }
            if takes(UInt8(ascii: "\"")) { return string().map { .text($0) } }
            return scalar()
        }

        private mutating func object(depth: Int) -> WireJSON? {
            var members: [(name: String, value: WireJSON)] = []
            if takes(UInt8(ascii: "}")) { return .object(members) }
            repeat {
                guard takes(UInt8(ascii: "\"")), let name = string(), takes(UInt8(ascii: ":")),
                    let value = value(depth: depth + 1)
                else { return nil }
                members.append((name, value))
            } while takes(UInt8(ascii: ","))
            return takes(UInt8(ascii: "}")) ? .object(members) : nil
        }

        private mutating func list(depth: Int) -> WireJSON? {
            var values: [WireJSON] = []
            if takes(UInt8(ascii: "]")) { return .list(values) }
            repeat {
                guard let value = value(depth: depth + 1) else { return nil }
                values.append(value)
            } while takes(UInt8(ascii: ","))
            return takes(UInt8(ascii: "]")) ? .list(values) : nil
        }

        /// The text up to the quote that ends it.
        private mutating func string() -> String? {
            let begin = position
            while position < bytes.count {
                let byte = bytes[position]
                position += 1
                switch byte {
                case UInt8(ascii: "\""):
                    return String(validating: bytes[begin..<(position - 1)], as: UTF8.self)
                case UInt8(ascii: "\\"):
                    position = begin
                    return stringWithEscapes()
                case 0..<0x20: return nil
                default: continue
                }
            }
            return nil
        }

        private mutating func stringWithEscapes() -> String? {
            var text: [UInt8] = []
            while position < bytes.count {
                let byte = bytes[position]
                position += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
                case UInt8(ascii: "\\"):
                    guard let escaped = escape() else { return nil }
                    text += escaped.utf8
                case 0..<0x20: return nil
                default: text.append(byte)
                }
            }
            return nil
        }

        private mutating func escape() -> String? {
            guard position < bytes.count else { return nil }
            position += 1
            switch bytes[position - 1] {
            case UInt8(ascii: "\""): return "\""
            case UInt8(ascii: "\\"): return "\\"
            case UInt8(ascii: "/"): return "/"
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{c}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "u"): return unit()
            default: return nil
            }
        }

        /// The character of four hexadecimal digits. Nothing that is simulated needs a pair of surrogates.
        private mutating func unit() -> String? {
            guard position + 4 <= bytes.count else { return nil }
            let digits = String(decoding: bytes[position..<(position + 4)], as: UTF8.self)
            position += 4
            guard !digits.hasPrefix("+"), !digits.hasPrefix("-") else { return nil }
            return UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init).map { String($0) }
        }

        private mutating func scalar() -> WireJSON? {
            let begin = position
            scan: while position < bytes.count {
                switch bytes[position] {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"),
                    UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
                    position += 1
                default: break scan
                }
            }
            let text = String(decoding: bytes[begin..<position], as: UTF8.self)
            guard bytes[begin..<position].first != UInt8(ascii: "+") else { return nil }
            if let number = Int(text) { return .number(number) }
            return ["true", "false", "null"].contains(text) || Double(text)?.isFinite == true ? .other : nil
        }
    }
}
