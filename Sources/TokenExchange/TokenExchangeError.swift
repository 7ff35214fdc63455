/// Why tokens cannot be exchanged with what was configured; answers of a token service are `UpstreamFailure`s.
package struct TokenExchangeError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The option at fault.
    package var option: String
    /// The problem and its remedy.
    package var problem: String

    package init(option: String, problem: String) {
        self.option = option
        self.problem = problem
    }

    package var description: String { "\(option): \(problem)" }
}
