/// The load that each pod of a node has put on the agent since the agent's start: counts, no rates.
package struct PodLoadDump: Codable, Sendable, Equatable {
    package struct Pod: Codable, Sendable, Equatable {
        package var namespace: String?
        package var pod: String?
        /// `nil`: callers without an identity, and pods beyond the number that is counted one by one.
        package var uid: String?
        package var requests: UInt64
        /// Answers of status 400 and above.
        package var refusals: UInt64
        /// Durations from a request to its answer, by power of two.
        package var latency: LatencyCounts
        /// Open connections.
        package var open: Int
        /// Cached tokens that can be served, and failures that are remembered in their place.
        package var tokens: Int
        package var failedTokens: Int
        /// The life of the cached token that ends first; `nil`: there is none.
        package var leastSecondsLeft: Int?

        package init(
            namespace: String?, pod: String?, uid: String?, requests: UInt64 = 0, refusals: UInt64 = 0,
            latency: LatencyCounts = LatencyCounts(), open: Int = 0, tokens: Int = 0, failedTokens: Int = 0,
            leastSecondsLeft: Int? = nil
        ) {
            self.namespace = namespace
            self.pod = pod
            self.uid = uid
            self.requests = requests
            self.refusals = refusals
            self.latency = latency
            self.open = open
            self.tokens = tokens
            self.failedTokens = failedTokens
            self.leastSecondsLeft = leastSecondsLeft
        }
    }

    package var node: String
    /// The time since the agent began to count, in milliseconds. Another process begins at 0.
    package var countedMilliseconds: UInt64
    package var pods: [Pod]

    package init(node: String, countedMilliseconds: UInt64, pods: [Pod]) {
        self.node = node
        self.countedMilliseconds = countedMilliseconds
        self.pods = pods
    }

    package func filtered(by filter: CgroupFilter) -> PodLoadDump {
        var dump = self
        dump.pods = pods.filter { filter.matches(namespace: $0.namespace, pod: $0.pod, uid: $0.uid ?? "") }
        return dump
    }
}
