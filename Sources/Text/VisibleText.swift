extension Unicode.Scalar {
    /// Whether a reader sees the character, and a terminal does nothing but show it.
    ///
    /// Control characters steer a terminal. Format characters turn the direction of text, and so hide what a line says.
    package var isVisible: Bool {
        if isASCII { return value >= 0x20 && value != 0x7f }
        return switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: false
        default: true
        }
    }
}

/// Makes text of others fit for a terminal: what it could obey becomes `U+FFFD`.
package enum VisibleText {
    /// One line of another program's text. Everything that is only seen stays.
    package static func line(_ text: String) -> String {
        replacing(text) { $0.isVisible }
    }

    /// Lines of another program's text.
    package static func lines(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map { line(String($0)) }.joined(separator: "\n")
    }

    /// A name, of which ASCII and letters stay. Names of cgroups may hold anything but a newline and a slash.
    package static func name(_ text: String) -> String {
        replacing(text) { $0.value >= 0x20 && $0.value < 0x7f || $0.properties.isAlphabetic }
    }

    /// Puts a space for each ASCII control character, and for each of `others`: text for a header or a body of one line.
    package static func blankingControls(_ text: String, and others: String = "") -> String {
        let bytes = text.utf8.map { $0 < 0x20 || $0 == 0x7f || others.utf8.contains($0) ? UInt8(ascii: " ") : $0 }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func replacing(_ text: String, keeping isKept: (Unicode.Scalar) -> Bool) -> String {
        String(text.unicodeScalars.map { isKept($0) ? Character($0) : "\u{fffd}" })
    }
}
