import Text

/// Rows of text in columns as wide as their widest value, or as narrow as the terminal wants.
package struct TextTable: Sendable {
    package struct Column: Sendable, ExpressibleByStringLiteral {
        package enum Fit: Sendable {
            /// The text is never cut: half an identifier is none.
            case whole
            /// Cut at the end.
            case end
            /// Cut at the start, because the end tells more, as of a path.
            case start
        }

        package var title: String
        package var fit: Fit
        /// Left out where the terminal is too narrow for all, the last one first.
        package var isOptional: Bool

        package init(_ title: String, fit: Fit, isOptional: Bool = false) {
            self.title = title
            self.fit = fit
            self.isOptional = isOptional
        }

        package init(stringLiteral title: String) {
            self.init(title, fit: .whole)
        }
    }

    /// The least width of a column that may be cut.
    private static let narrowest = 6

    private let columns: [Column]
    private var rows: [[String]]
    private var styles: [[Int: TextStyle]]

    package init(columns: [Column]) {
        self.columns = columns
        rows = [columns.map(\.title)]
        styles = [[:]]
    }

    /// Adds a row; `styles` by the column's number.
    package mutating func append(_ row: [String], styles: [Int: TextStyle] = [:]) {
        rows.append(row.map(VisibleText.name))
        self.styles.append(styles)
    }

    /// The table, a line a row, without trailing blanks, for a file.
    package var text: String { text(on: .plain) }

    package func text(on terminal: Terminal) -> String {
        let shown = shownColumns(within: terminal.columns)
        let widths = widths(of: shown, within: terminal.columns)
        return rows.indices.map { index in
            var line = ""
            for column in shown {
                let value = Self.cut(rows[index][column], to: widths[column], columns[column].fit)
                let style = index == 0 ? .strong : styles[index][column] ?? .plain
                line += terminal.styled(value, style)
                if column != shown.last {
                    line += String(repeating: " ", count: widths[column] - value.count + 2)
                }
            }
            return line + "\n"
        }.joined()
    }

    private func widest(_ column: Int) -> Int { rows.map { $0[column].count }.max() ?? 0 }

    private func narrowest(_ column: Int) -> Int {
        guard columns[column].fit != .whole else { return widest(column) }
        return min(widest(column), max(Self.narrowest, columns[column].title.count))
    }

    private static func width(of columns: [Int], _ width: (Int) -> Int) -> Int {
        columns.map(width).reduce(0, +) + 2 * max(0, columns.count - 1)
    }

    private func shownColumns(within limit: Int?) -> [Int] {
        var shown = Array(columns.indices)
        guard let limit else { return shown }
        while Self.width(of: shown, narrowest) > limit, let last = shown.last(where: { columns[$0].isOptional }) {
            shown.removeAll { $0 == last }
        }
        return shown
    }

    /// Takes from the widest column that may be cut, until the lines fit or nothing is left to take.
    private func widths(of shown: [Int], within limit: Int?) -> [Int] {
        var widths = columns.indices.map(widest)
        guard let limit else { return widths }
        while Self.width(of: shown, { widths[$0] }) > limit {
            let candidates = shown.filter { widths[$0] > narrowest($0) }
            guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { break }
            widths[widest] -= 1
        }
        return widths
    }

    private static func cut(_ text: String, to width: Int, _ fit: Column.Fit) -> String {
        guard text.count > width else { return text }
        return fit == .start ? "…" + text.suffix(width - 1) : text.prefix(width - 1) + "…"
    }
}
