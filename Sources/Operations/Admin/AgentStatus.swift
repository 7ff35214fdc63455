/// The agent's status on its admin socket.
package struct AgentStatus: Codable, Sendable, Equatable {
    package var version: String
    package var node: String
    /// How each hook came to be attached, by name.
    package var hooks: [String: String]
    /// The kernel programs' counters.
    package var kernel: [String: UInt64]
    /// The metadata server's counters that are not 0.
    package var requests: [String: UInt64]
    /// Network namespaces in which the agent listens, the node's own among them.
    package var namespaces: Int
    /// How the agent enters them.
    package var namespacesBy: String
    package var pods: Int
    /// Entries of the cgroup index, and of the kernel's two tables by pod-level cgroup: none outlives its cgroup.
    package var cgroups: Int
    package var connectionCounts: Int
    package var policies: Int
    /// Open connections of pods.
    package var connections: Int
    /// Cached tokens, and failures that are remembered in their place.
    package var tokenEntries: Int
    package var podsSynced: Bool
    package var podWatchError: String?
    /// The seconds since the API server last showed anything; `nil` before the first time. Bookmarks come every 60 s.
    package var podWatchSilentSeconds: Int64?
    /// Pods whose latest connections were redirected and did not arrive, by name; `nil`: an agent of an earlier version.
    package var podsNotArriving: [String]?
    /// Upstreams whose latest call got no usable answer, with the reason; `nil`: an agent of an earlier version.
    package var upstreamOutages: [String: String]?
    /// Whether a watch of the node's pods is open at this moment; `nil`: an agent of an earlier version.
    package var isWatchingPods: Bool?
    /// Counts of the incidents that the agent survived, by name.
    package var incidents: [String: UInt64]

    package init(
        version: String, node: String, hooks: [String: String], kernel: [String: UInt64], requests: [String: UInt64],
        namespaces: Int, namespacesBy: String, pods: Int, cgroups: Int, connectionCounts: Int, policies: Int,
        connections: Int,
        tokenEntries: Int, podsSynced: Bool, podWatchError: String?, podWatchSilentSeconds: Int64? = nil,
        podsNotArriving: [String]? = nil, upstreamOutages: [String: String]? = nil, isWatchingPods: Bool? = nil,
        incidents: [String: UInt64] = [:]
    ) {
        self.version = version
        self.node = node
        self.hooks = hooks
        self.kernel = kernel
        self.requests = requests
        self.namespaces = namespaces
        self.namespacesBy = namespacesBy
        self.pods = pods
        self.cgroups = cgroups
        self.connectionCounts = connectionCounts
        self.policies = policies
        self.connections = connections
        self.tokenEntries = tokenEntries
        self.podsSynced = podsSynced
        self.podWatchError = podWatchError
        self.podWatchSilentSeconds = podWatchSilentSeconds
        self.podsNotArriving = podsNotArriving
        self.upstreamOutages = upstreamOutages
        self.isWatchingPods = isWatchingPods
        self.incidents = incidents
    }
}
