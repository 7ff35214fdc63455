import Text

/// A value of a YAML document: text, a list, or a mapping whose keys are text.
package enum YAMLNode: Equatable, Sendable {
    case scalar(Scalar)
    case sequence([YAMLNode])
    case mapping(Mapping)

    /// Text as the document spells it; no scalar is turned into a number, a date or a Boolean.
    package struct Scalar: Equatable, Sendable {
        package let string: String
        /// `false`: the text stood in quotes or in a block, and is text whatever it says.
        package let isPlain: Bool

        package init(_ string: String, isPlain: Bool = true) {
            self.string = string
            self.isPlain = isPlain
        }

        /// YAML's spellings of nothing.
        package var isNull: Bool { isPlain && ["", "~", "null", "Null", "NULL"].contains(string) }
    }

    /// Keys and values in the document's order; each key is there once.
    package struct Mapping: Equatable, Sendable {
        package private(set) var entries: [Entry] = []
        private var places: [String: Int] = [:]

        package struct Entry: Equatable, Sendable {
            package let key: String
            package let value: YAMLNode
        }

        package init() {}

        package subscript(key: String) -> YAMLNode? { places[key].map { entries[$0].value } }

        /// Appends an entry, unless the key is taken.
        /// - Returns: Whether the key was free.
        mutating func append(_ key: String, _ value: YAMLNode) -> Bool {
            guard places.updateValue(entries.count, forKey: key) == nil else { return false }
            entries.append(Entry(key: key, value: value))
            return true
        }
    }

    package var scalar: Scalar? {
        guard case .scalar(let scalar) = self else { return nil }
        return scalar
    }

    package var sequence: [YAMLNode]? {
        guard case .sequence(let items) = self else { return nil }
        return items
    }

    package var mapping: Mapping? {
        guard case .mapping(let mapping) = self else { return nil }
        return mapping
    }

    /// The value as JSON, which is YAML too: one line, every scalar in quotes.
    package var json: String {
        switch self {
        case .scalar(let scalar): scalar.string.quotedYAML
        case .sequence(let items): "[" + items.map(\.json).joined(separator: ", ") + "]"
        case .mapping(let mapping):
            "{" + mapping.entries.map { "\($0.key.quotedYAML): \($0.value.json)" }.joined(separator: ", ") + "}"
        }
    }
}
