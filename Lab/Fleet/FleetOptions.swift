package import Tokens

/// The events that a fleet meets.
package enum FleetScenario: String, CaseIterable, Sendable {
    /// Every pod of the cluster starts within ten minutes, and no agent has a token.
    case coldStart
    /// Every agent starts again within ten minutes and has lost its tokens: a rollout without the hand-over.
    case rollout
    /// STS answers 503 for an hour.
    case outage
    /// The nodes of one zone of three start again within three minutes, with all their pods.
    case zoneReturns
    /// STS grants a tenth of its quota for an hour.
    case tenthOfQuota

    /// The pods' first requests come this evenly distributed, within the quota, where the fleet is to be at rest first.
    static let warmUp = Duration.seconds(2_700)
    /// The time at which the event begins.
    package var beginning: Duration { self == .coldStart ? .zero : .seconds(3_600) }
    /// The time at which its cause ends, and recovery begins.
    package var end: Duration {
        switch self {
        case .coldStart, .rollout, .zoneReturns: beginning
        case .outage, .tenthOfQuota: beginning + .seconds(3_600)
        }
    }
    /// The end of the run.
    package var length: Duration { end + .seconds(3_600) }
}

/// The settings of a fleet.
package struct FleetOptions: Sendable {
    package var scenario: FleetScenario
    package var seed: UInt64 = 1
    package var nodes = 5_000
    package var podsPerNode = 30
    /// Distinct ServiceAccounts of the cluster. Every second one names a Google service account.
    package var accounts = 600
    /// Google's quota: exchanges of a project in a minute.
    package var exchangesPerMinute = 6_000
    /// Google's quota: credentials that a project generates in a minute.
    package var impersonationsPerMinute = 60_000
    /// The API server answers more with 429 and `Retry-After: 1`.
    package var tokenRequestsPerSecond = 1_000
    /// A pod with a token asks again after this, at random half as much more or less.
    package var pause = Duration.seconds(300)
    /// A pod that was refused asks again after a second; this doubles up to a minute.
    package var longestRetry = Duration.seconds(60)
    /// Whether the agents learn the quota from refusals.
    package var paces: Bool {
        get { pacing != nil }
        set { pacing = newValue ? PacingPolicy() : nil }
    }
    package var pacing: PacingPolicy? = PacingPolicy()
    /// Whether the agents are told their share of STS's quota.
    package var knowsShare: Bool {
        get { pacing?.exchangesPerHour != nil }
        set { pacing?.exchangesPerHour = newValue ? exchangesPerMinute * 60 / nodes : nil }
    }

    package init(scenario: FleetScenario) { self.scenario = scenario }

    package var pods: Int { nodes * podsPerNode }
}
