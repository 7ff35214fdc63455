/// Why the agent cannot speak to the Kubernetes API with what it was given: a file and a key, and what to do.
///
/// Answers of the API server are `UpstreamFailure`s; this is about what comes before the first request.
package struct KubernetesAPIError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file or option at fault.
    package var subject: String
    /// The key inside it, as its documentation writes it.
    package var key: String?
    /// The problem and its remedy, without secrets.
    package var problem: String

    package init(_ subject: String, key: String? = nil, _ problem: String) {
        self.subject = subject
        self.key = key
        self.problem = problem
    }

    package var description: String {
        key.map { "\(subject): \($0): \(problem)" } ?? "\(subject): \(problem)"
    }
}
