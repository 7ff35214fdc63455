extension String {
    /// Whether the text needs nothing escaped to stand in a JSON string (RFC 8259, section 7). That of tokens and names does
    /// not, which is nearly everything that is written.
    package var isPlainJSON: Bool {
        let bytes = utf8Span.span
        for index in bytes.indices {
            let byte = bytes[index]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
        }
        return true
    }
}
