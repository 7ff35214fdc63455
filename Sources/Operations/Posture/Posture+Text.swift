import Text

extension Posture {
    /// Whether and how the text is dressed for a terminal.
    package struct Style: Sendable {
        /// Columns; longer lines are broken between words.
        package var width: Int
        package var hasColor: Bool

        package init(width: Int, hasColor: Bool) {
            // Narrower than this, breaking does not help.
            self.width = max(width, 60)
            self.hasColor = hasColor
        }

        /// The style for files and pipes.
        package static let plain = Style(width: 120, hasColor: false)
    }

    /// The report for people: a line for each item, and below it what is to be said about it.
    package func text(_ style: Style) -> String {
        let states = State.allCases.map(\.rawValue.count).max() ?? 0
        let names = sections.flatMap(\.items).map(\.id.count).max() ?? 0
        let margin = 2 + states + 2 + names + 2
        // A terminal that is too narrow for three columns gets what was found below its name.
        let indent = style.width - margin >= 40 ? margin : 2 + states + 2
        var text = ""
        for section in sections {
            text += section.title + "\n"
            for item in section.items {
                let name = item.id + String(repeating: " ", count: names - item.id.count)
                let state = item.state.rawValue + String(repeating: " ", count: states - item.state.rawValue.count)
                let lines =
                    Self.wrap(item.found, width: style.width - indent)
                    + (item.meaning.isEmpty ? [] : Self.wrap(item.meaning, width: style.width - indent))
                var rest = lines[...]
                text += "  " + item.state.colored(state, style)
                if indent == margin {
                    text += "  \(name)  \(rest.popFirst() ?? "")\n"
                } else {
                    text += "  \(item.id)\n"
                }
                for line in rest { text += String(repeating: " ", count: indent) + line + "\n" }
            }
            text += "\n"
        }
        return text + summary(style)
    }

    private func summary(_ style: Style) -> String {
        let items = sections.flatMap(\.items)
        let counts = State.allCases.compactMap { state -> String? in
            let count = items.count { $0.state == state }
            return count == 0 ? nil : "\(count) \(state.rawValue)"
        }
        return
            "node \(VisibleText.name(node)), podidentd \(version): \(verdict.colored(style)) (\(counts.joined(separator: ", ")))\n"
    }

    /// Paragraphs broken between words; a word that is longer than the line stays whole, so that it can be copied.
    private static func wrap(_ text: String, width: Int) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { paragraph -> [String] in
            let blanks = String(paragraph.prefix { $0 == " " })
            var lines = [blanks]
            for word in VisibleText.name(String(paragraph)).split(separator: " ") {
                let last = lines[lines.count - 1]
                let isStart = last.allSatisfy { $0 == " " }
                if !isStart, last.count + 1 + word.count > width {
                    lines.append(blanks + String(word))
                } else {
                    lines[lines.count - 1] += (isStart ? "" : " ") + word
                }
            }
            return lines
        }
    }
}

extension Posture.State {
    fileprivate func colored(_ text: String, _ style: Posture.Style) -> String {
        guard style.hasColor else { return text }
        let code =
            switch self {
            case .ok: 32
            case .degraded: 33
            case .unsafe: 31
            case .unknown: 36
            case .untried: 90
            }
        return "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }
}

extension Posture.Verdict {
    fileprivate func colored(_ style: Posture.Style) -> String {
        let state: Posture.State =
            switch self {
            case .healthy: .ok
            case .degraded: .degraded
            case .unsafe: .unsafe
            case .notInstalled: .unknown
            }
        return state.colored(rawValue, style)
    }
}
