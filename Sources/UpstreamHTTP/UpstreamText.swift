import Text
import Tokens

/// Makes an upstream's words fit for a log line, an event and an error answer.
package enum UpstreamText {
    /// The limit in bytes of UTF-8: more than the longest message of the Kubernetes API server or Google seen.
    package static let limit = 1024

    /// `text` without control, format and line separator characters (each run becomes one space), without anything
    /// that looks like a token, cut at `limit` bytes.
    package static func clean(_ text: String, limit: Int = UpstreamText.limit) -> String {
        // Text far beyond the limit is not even looked at; four times leaves room for what is removed.
        let visible = String(decoding: text.utf8.prefix(limit * 4), as: UTF8.self)
        var result = String.UnicodeScalarView()
        var gap = false
        for scalar in visible.unicodeScalars {
            if !scalar.isVisible || scalar == " " {
                gap = !result.isEmpty
                continue
            }
            if gap { result.append(" ") }
            gap = false
            result.append(scalar)
        }
        return cut(SecretRedactor.redact(String(result)), limit: limit)
    }

    package static func clean(_ bytes: [UInt8], limit: Int = UpstreamText.limit) -> String {
        clean(String(decoding: bytes.prefix(limit * 4), as: UTF8.self), limit: limit)
    }

    private static func cut(_ text: String, limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        var end = text.startIndex
        var length = 0
        while end < text.endIndex {
            length += text[end].utf8.count
            if length > limit - 3 { break }
            end = text.index(after: end)
        }
        return text[..<end] + "..."
    }
}
