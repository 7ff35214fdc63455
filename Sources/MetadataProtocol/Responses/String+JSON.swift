import Text

extension String {
    /// Appends `text` as a JSON string (RFC 8259, section 7).
    package mutating func appendJSON(_ text: String) {
        appendQuoted(text)
    }
}
