/// Rows of text in columns as wide as their widest value.
package struct TextTable: Sendable {
    private var rows: [[String]]

    package init(columns: [String]) {
        rows = [columns]
    }

    package mutating func append(_ row: [String]) {
        rows.append(row.map(Self.printable))
    }

    /// The table, a line a row, without trailing blanks.
    package var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, value) in row.enumerated() {
                line += value
                if column < row.count - 1 {
                    line += String(repeating: " ", count: widths[column] - value.count + 2)
                }
            }
            return line + "\n"
        }.joined()
    }

    /// Cgroup names may hold anything but a newline and a slash: nothing in them may steer a terminal.
    private static func printable(_ text: String) -> String {
        String(
            text.unicodeScalars.map { scalar in
                let isPrintable = scalar.value >= 0x20 && scalar.value < 0x7f || scalar.properties.isAlphabetic
                return isPrintable ? Character(scalar) : "\u{fffd}"
            }
        )
    }
}
