import CBPFPrograms

/// The kernel's counts of one pod's connections to the agent, at both of their ends. An agent's restart does not reset
/// it.
package struct PodTraffic: Sendable, Equatable {
    /// The number of connects that the kernel redirected.
    package var redirected: UInt64
    /// The number of those that the agent accepted with the pod's tag.
    package var arrived: UInt64
    /// The number of connections that were redirected since the last one arrived.
    package var unarrived: UInt64

    package init(redirected: UInt64 = 0, arrived: UInt64 = 0, unarrived: UInt64 = 0) {
        self.redirected = redirected
        self.arrived = arrived
        self.unarrived = unarrived
    }

    init(_ value: nid_pod_connections) {
        self.init(redirected: value.redirected, arrived: value.arrived, unarrived: value.unarrived)
    }

    package static func + (left: PodTraffic, right: PodTraffic) -> PodTraffic {
        PodTraffic(
            redirected: left.redirected + right.redirected,
            arrived: left.arrived + right.arrived, unarrived: left.unarrived + right.unarrived)
    }
}
