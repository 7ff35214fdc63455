#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where text is printed: how wide it may be, and whether colours mean anything there.
package struct Terminal: Sendable, Equatable {
    /// Whether a person is looking, rather than a file or another program.
    package var isInteractive: Bool
    /// `nil`: as wide as the text needs.
    package var columns: Int?
    package var usesColor: Bool

    package init(isInteractive: Bool, columns: Int?, usesColor: Bool) {
        self.isInteractive = isInteractive
        self.columns = columns
        self.usesColor = usesColor
    }

    /// A file or a pipe: full width, no colours.
    package static let plain = Terminal(isInteractive: false, columns: nil, usesColor: false)

    /// This process's standard output. Colours follow no-color.org and `TERM=dumb`.
    package static func standardOutput(environment: [String: String]) -> Terminal {
        guard isatty(STDOUT_FILENO) == 1 else { return .plain }
        let term = environment["TERM"] ?? ""
        let refusesColor = !(environment["NO_COLOR"] ?? "").isEmpty || term.isEmpty || term == "dumb"
        return Terminal(isInteractive: true, columns: windowColumns(), usesColor: !refusesColor)
    }

    private static func windowColumns() -> Int? {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// `text` in `style`, where styles show.
    package func styled(_ text: String, _ style: TextStyle) -> String {
        guard usesColor, style != .plain, !text.isEmpty else { return text }
        return "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m"
    }
}

/// How a piece of text stands out. Raw values are SGR parameters (ECMA-48, 8.3.117).
package enum TextStyle: Int, Sendable {
    case plain = 0
    case strong = 1
    case faint = 2
    case bad = 31
    case good = 32
    case warning = 33
}
