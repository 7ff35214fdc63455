/// Reads the part of YAML that configuration files use, with a limit on everything.
///
/// libyaml splits the text into events, and this reader makes values of them. It reads one document of mappings with
/// text keys, lists and text. It resolves aliases of what is complete. It refuses tags, which change what a text
/// means, and keys that stand twice, of which libraries silently take one.
package enum YAML {
    /// The deepest nesting that a document may have.
    package static let depthMax = 64
    /// The most values that a document may have, those that aliases repeat included.
    package static let valuesMax = 65_536

    /// The most bytes of text that a document's values may have, those that aliases repeat included.
    package static let bytesMax = 4 << 20

    /// Reads the one document of a text.
    /// - Returns: The document's value; `nil`: the text has no document, only space and comments.
    package static func read(_ text: String) throws(YAMLError) -> YAMLNode? {
        var text = text
        let result = text.withUTF8 { bytes in
            Result { () throws(YAMLError) in
                var events = unsafe YAMLEvents(bytes)
                defer { events.close() }
                return try YAMLComposer.document(of: &events)
            }
        }
        return try result.get()
    }
}
