import Text

/// Any JSON value, for output whose shape another program decides.
package indirect enum JSONTree: Codable, Sendable, Equatable {
    case null
    case boolean(Bool)
    case integer(Int64)
    /// An integer that ``integer(_:)`` cannot hold, such as the ID of a cgroup.
    case unsigned(UInt64)
    case number(Double)
    case text(String)
    case list([JSONTree])
    case object([String: JSONTree])

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(UInt64.self) {
            self = .unsigned(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONTree].self) {
            self = .list(value)
        } else {
            self = .object(try container.decode([String: JSONTree].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .boolean(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .unsigned(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .list(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }

    /// The value as a YAML document in blocks, keys in the order of the alphabet, every text in quotes.
    package var yaml: String { lines(indent: 0).joined(separator: "\n") + "\n" }

    /// The value on lines of its own; a scalar or an empty collection is one line.
    private func lines(indent: Int) -> [String] {
        let blanks = String(repeating: " ", count: indent)
        switch self {
        case .list(let items) where !items.isEmpty:
            return items.flatMap { item in
                var lines = item.lines(indent: indent + 2)
                lines[0] = blanks + "- " + lines[0].dropFirst(indent + 2)
                return lines
            }
        case .object(let members) where !members.isEmpty:
            return members.sorted { $0.key < $1.key }.flatMap { key, value -> [String] in
                let name = blanks + Self.key(key) + ":"
                if let inline = value.inline { return [name + " " + inline] }
                return [name] + value.lines(indent: indent + 2)
            }
        default: return [blanks + (inline ?? "")]
        }
    }

    /// The text that fits behind a key; `nil`: a collection that is not empty.
    private var inline: String? {
        switch self {
        case .null: "null"
        case .boolean(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .unsigned(let value): "\(value)"
        case .number(let value): "\(value)"
        case .text(let value): value.quotedYAML
        case .list(let items): items.isEmpty ? "[]" : nil
        case .object(let members): members.isEmpty ? "{}" : nil
        }
    }

    /// A name that YAML cannot take for anything else stands without quotes.
    private static func key(_ name: String) -> String {
        let isPlain = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        }
        let words = ["", "null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        return isPlain && !words.contains(name.lowercased()) ? name : name.quotedYAML
    }
}
