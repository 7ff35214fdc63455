import FoundationEssentials

/// JSON with members in the order of their names, so that equal values have equal bytes.
package enum SortedJSON {
    /// Encodes a value of strings, finite numbers and flags: there is nothing in it that could fail to encode.
    package static func bytes(of value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { [UInt8]($0) } ?? []
    }
}
