import MetadataProtocol
import Text

/// A part of the metadata tree, and the three ways it is written.
indirect enum MetadataValue: Sendable, Hashable {
    case text(String)
    case number(UInt64)
    case list([String])
    case directory([Entry])
    /// A value that is listed, but never part of a recursive answer: reading it mints.
    case credential

    struct Entry: Sendable, Hashable {
        var name: String
        var value: MetadataValue
        /// Whether JSON keeps the name: attributes and accounts are data, the rest becomes camel case.
        var isVerbatim: Bool

        init(_ name: String, _ value: MetadataValue, isVerbatim: Bool = false) {
            self.name = name
            self.value = value
            self.isVerbatim = isVerbatim
        }
    }

    /// A leaf's plain body: no newline after a single value, one after each element of a list.
    ///
    /// The body of a directory is its listing, one name a line, a slash after the name of a directory.
    var plainText: String {
        switch self {
        case .text(let text): text
        case .number(let number): String(number)
        case .list(let elements): elements.map { "\($0)\n" }.joined()
        case .directory(let entries): entries.map { "\($0.name)\($0.value.isDirectory ? "/" : "")\n" }.joined()
        case .credential: ""
        }
    }

    /// `recursive=true&alt=text`: a line `path value` for each leaf below, list elements numbered.
    var recursiveText: String {
        var text = ""
        writeLines(path: "", to: &text)
        return text
    }

    var json: String {
        var text = ""
        writeJSON(to: &text)
        return text
    }

    private var isDirectory: Bool {
        switch self {
        case .directory: true
        case .text, .number, .list, .credential: false
        }
    }

    private func writeLines(path: String, to text: inout String) {
        switch self {
        case .text, .number:
            text += "\(path) \(plainText)\n"
        case .list(let elements):
            for (index, element) in elements.enumerated() {
                text += "\(path)/\(index) \(element)\n"
            }
        case .directory(let entries):
            for entry in entries {
                entry.value.writeLines(path: path.isEmpty ? entry.name : "\(path)/\(entry.name)", to: &text)
            }
        case .credential:
            break
        }
    }

    private func writeJSON(to text: inout String) {
        switch self {
        case .text(let value):
            text.appendQuoted(value)
        case .number(let number):
            text += String(number)
        case .list(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                if index > 0 { text += "," }
                text.appendQuoted(element)
            }
            text += "]"
        case .directory(let entries):
            text += "{"
            var isFirst = true
            for entry in entries where entry.value != .credential {
                if !isFirst { text += "," }
                isFirst = false
                text.appendQuoted(entry.isVerbatim ? entry.name : Self.camelCase(entry.name))
                text += ":"
                entry.value.writeJSON(to: &text)
            }
            text += "}"
        case .credential:
            text += "null"
        }
    }

    /// `numeric-project-id` to `numericProjectId`.
    private static func camelCase(_ name: String) -> String {
        let words = name.split(separator: "-")
        return words.dropFirst().reduce(into: words.first.map(String.init) ?? "") { result, word in
            result += word.prefix(1).uppercased() + word.dropFirst()
        }
    }
}
