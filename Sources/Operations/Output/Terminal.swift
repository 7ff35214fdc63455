#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The place where text is printed: how wide it may be, and whether colours mean anything there.
package struct Terminal: Sendable, Equatable {
    /// Whether a person is looking, rather than a file or another program.
    package var isInteractive: Bool
    /// `nil`: as wide as the text needs.
    package var columns: Int?
    /// The number of lines that are seen at once; `nil`: not known.
    package var rows: Int?
    package var usesColor: Bool

    package init(isInteractive: Bool, columns: Int?, rows: Int? = nil, usesColor: Bool) {
        self.isInteractive = isInteractive
        self.columns = columns
        self.rows = rows
        self.usesColor = usesColor
    }

    /// A file or a pipe: full width, no colours.
    package static let plain = Terminal(isInteractive: false, columns: nil, usesColor: false)

    /// This process's standard output. Colours follow no-color.org and `TERM=dumb`.
    package static func standardOutput(environment: [String: String]) -> Terminal {
        guard isatty(STDOUT_FILENO) == 1 else { return .plain }
        let term = environment["TERM"] ?? ""
        let refusesColor = !(environment["NO_COLOR"] ?? "").isEmpty || term.isEmpty || term == "dumb"
        let window = windowSize()
        return Terminal(isInteractive: true, columns: window.columns, rows: window.rows, usesColor: !refusesColor)
    }

    /// Whether a person sees this process's standard error.
    package static var isErrorInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    private static func windowSize() -> (columns: Int?, rows: Int?) {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 else { return (nil, nil) }
        return (size.ws_col > 0 ? Int(size.ws_col) : nil, size.ws_row > 0 ? Int(size.ws_row) : nil)
    }

    /// The text that replaces what the terminal shows.
    package func redrawn(_ text: String) -> String { "\u{1b}[2J\u{1b}[H" + text }

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
