import Text
import Tokens

extension String {
    /// Appends `text` as a JSON string (RFC 8259, section 7).
    package mutating func appendJSON(_ text: String) {
        guard text.isPlainJSON else { return appendQuoted(text) }
        append("\"")
        append(text)
        append("\"")
    }
}
