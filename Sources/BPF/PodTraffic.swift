import CBPFPrograms

/// What the kernel counted of one pod's connections to the agent, at both of their ends. An agent's restart does not reset
/// it; the loss of the listening socket does.
package struct PodTraffic: Sendable, Equatable {
    /// The number of connections from their SYN until the agent has closed its end. May be below zero for a moment.
    package var open: Int64
    /// The number of connections that the kernel redirected, counted when their SYN was sent.
    package var redirected: UInt64
    /// The number of those that reached the agent's socket with the pod's tag.
    package var arrived: UInt64
    /// The number of connections that were redirected since the last one arrived.
    package var unarrived: UInt64

    package init(open: Int64 = 0, redirected: UInt64 = 0, arrived: UInt64 = 0, unarrived: UInt64 = 0) {
        self.open = open
        self.redirected = redirected
        self.arrived = arrived
        self.unarrived = unarrived
    }

    init(_ value: nid_pod_connections) {
        self.init(
            open: value.open, redirected: value.redirected, arrived: value.arrived, unarrived: value.unarrived)
    }

    package static func + (left: PodTraffic, right: PodTraffic) -> PodTraffic {
        PodTraffic(
            open: left.open + right.open, redirected: left.redirected + right.redirected,
            arrived: left.arrived + right.arrived, unarrived: left.unarrived + right.unarrived)
    }
}
