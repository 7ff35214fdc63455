import FoundationEssentials

/// The forms in which every command prints what it found.
package enum OutputForm: String, CaseIterable, Sendable {
    case table, tree, json, yaml

    /// Writes a value in this form.
    ///
    /// - Parameters:
    ///   - value: The value.
    ///   - isInSeries: Whether more values follow: JSON has one line for each, YAML one document.
    ///   - table: The value as a table.
    /// - Returns: The text, with its last newline.
    /// - Throws: The encoder's error.
    package func text(_ value: some Encodable, isInSeries: Bool = false, table: () -> String) throws -> String {
        switch self {
        case .table: table()
        case .tree: try JSONTree(of: value).outline
        case .json: String(decoding: try JSONOutput.bytes(of: value, isCompact: isInSeries), as: UTF8.self) + "\n"
        case .yaml: (isInSeries ? "---\n" : "") + (try JSONTree(of: value).yaml)
        }
    }
}

extension JSONTree {
    /// The value without its type, for forms that know none.
    package init(of value: some Encodable) throws {
        self = try JSONDecoder().decode(JSONTree.self, from: try JSONEncoder().encode(value))
    }
}
