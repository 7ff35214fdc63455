/// The reason why a text is not a document that ``YAML`` reads.
///
/// Neither the description nor a property repeats anything of the text: documents hold secrets.
package struct YAMLError: Error, Equatable, CustomStringConvertible {
    /// The line of the document, from 1 on.
    package let line: Int
    package let problem: String

    package var description: String { "line \(line): \(problem)" }
}
