/// What the agent says of itself on its admin socket.
package struct AgentStatus: Codable, Sendable, Equatable {
    package var version: String
    package var node: String
    /// How each hook came to be attached, by name.
    package var hooks: [String: String]
    /// The kernel programs' counters.
    package var kernel: [String: UInt64]
    /// The HTTP front's counters that are not 0.
    package var requests: [String: UInt64]
    /// Tags on their way from a connecting to an accepting socket at this moment.
    package var pendingHandovers: Int
    package var pods: Int
    /// Cached tokens, and failures that are remembered in their place.
    package var tokenEntries: Int
    package var podsSynced: Bool
    package var podWatchError: String?

    package init(
        version: String, node: String, hooks: [String: String], kernel: [String: UInt64], requests: [String: UInt64],
        pendingHandovers: Int, pods: Int, tokenEntries: Int, podsSynced: Bool, podWatchError: String?
    ) {
        self.version = version
        self.node = node
        self.hooks = hooks
        self.kernel = kernel
        self.requests = requests
        self.pendingHandovers = pendingHandovers
        self.pods = pods
        self.tokenEntries = tokenEntries
        self.podsSynced = podsSynced
        self.podWatchError = podWatchError
    }
}
