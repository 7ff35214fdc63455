import FoundationEssentials

/// Writes values as JSON for operators: members in the order of their names, so that two outputs can be compared.
package enum JSONOutput {
    package static func bytes(of value: some Encodable, isCompact: Bool = false) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            isCompact
            ? [.sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }
}
