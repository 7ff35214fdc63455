/// The treatment of a pod's connections to protected endpoints.
package enum PodPolicy: String, Sendable, Hashable, CaseIterable {
    /// To the agent: what every pod gets unless a rule says otherwise.
    case attribute
    /// To the machine's own metadata server.
    case passthrough
    /// Refused.
    case deny
}
