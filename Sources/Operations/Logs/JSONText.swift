import Text

/// Text as JSON writes it, on one line and in visible characters whatever it holds.
package enum JSONText {
    /// `text` as a JSON string, quotes included. What is not visible is escaped.
    package static func string(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count + 2)
        result.appendQuoted(text) { !$0.isVisible }
        return result
    }

    /// `text` with what is not visible escaped as in JSON, without quotes: for lines of plain text.
    package static func escaped(_ text: String) -> String {
        guard !text.unicodeScalars.allSatisfy(\.isVisible) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if scalar.isVisible { result.unicodeScalars.append(scalar) } else { result.appendEscape(of: scalar) }
        }
        return result
    }
}
