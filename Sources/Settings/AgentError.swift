/// Something that the agent or one of its commands could not do, in a sentence for operators. A fault of the configuration
/// is a ``ConfigurationError``.
package struct AgentError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
