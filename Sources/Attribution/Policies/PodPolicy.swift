/// The treatment of a pod's connections to protected endpoints.
package enum PodPolicy: String, Sendable, Hashable, CaseIterable {
    /// Redirects connections to the agent: what every pod gets unless a rule says otherwise.
    case attribute
    /// Lets connections through to the machine's own metadata server.
    case passthrough
    /// Refuses connections.
    case deny
}
