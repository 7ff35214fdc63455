extension String {
    /// Whether the text needs nothing escaped to stand in a JSON string (RFC 8259, section 7). Tokens and names need
    /// nothing escaped, and nearly every string that is written is one of these.
    package var isPlainJSON: Bool {
        let bytes = utf8Span.span
        for index in bytes.indices {
            let byte = bytes[index]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
        }
        return true
    }
}
