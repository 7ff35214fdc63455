extension String {
    /// Appends `text` in double quotes, as a string of JSON (RFC 8259, section 7) and of YAML.
    ///
    /// - Parameters:
    ///   - text: The string's value.
    ///   - isEscaped: Whether a character outside of visible ASCII is written as its number, beside those that JSON has escaped.
    package mutating func appendQuoted(_ text: String, escaping isEscaped: (Unicode.Scalar) -> Bool = { _ in false }) {
        append("\"")
        // Names, times and most messages are.
        guard !text.isVisibleASCIIWithoutEscapes else {
            append(text)
            return append("\"")
        }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": append("\\\"")
            case "\\": append("\\\\")
            case "\n": append("\\n")
            case "\r": append("\\r")
            case "\t": append("\\t")
            case "\u{0}"..."\u{1f}": appendEscape(of: scalar)
            default:
                if isEscaped(scalar) { appendEscape(of: scalar) } else { unicodeScalars.append(scalar) }
            }
        }
        append("\"")
    }

    /// Whether the text is of visible ASCII alone, and has neither a quote nor a backslash.
    private var isVisibleASCIIWithoutEscapes: Bool {
        let bytes = utf8Span.span
        for index in bytes.indices {
            let byte = bytes[index]
            if byte < 0x20 || byte > 0x7e || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
        }
        return true
    }

    /// The text in double quotes, on one line: a string of YAML, and of JSON.
    package var quotedYAML: String {
        var quoted = ""
        quoted.appendQuoted(self) { scalar in
            switch scalar {
            case "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{FEFF}": true
            default: false
            }
        }
        return quoted
    }

    /// Appends the number of a character: `\u`, and four digits for each of its UTF-16 units.
    package mutating func appendEscape(of scalar: Unicode.Scalar) {
        for unit in String(scalar).utf16 {
            let digits = String(unit, radix: 16)
            append("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits)
        }
    }

    /// FNV-1a with 64 bits: equal for equal text, on every node and across restarts.
    package var stableHash: UInt64 {
        utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
