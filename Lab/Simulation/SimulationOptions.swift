/// The settings of one simulation.
package struct SimulationOptions: Sendable {
    package var seed: UInt64
    package var hours = 24.0
    package var nodes = 1
    /// Pods that each node runs, about.
    package var podsPerNode = 6
    /// The part of the pods that ask for as many different tokens as they can.
    package var greed = 0.05
    /// The faults that may be injected.
    package var faults = Set(Fault.allCases)
    /// Faults that are drawn as the others are, and do not happen: up to the first of them the world is the same.
    package var leftOut: Set<Fault> = []
    /// The time between two faults, on average.
    package var faultPause = Duration.seconds(600)
    /// A bug to be put in on purpose.
    package var mutation: Mutation?
    /// Whether each event of the trace is printed.
    package var prints = false

    package init(seed: UInt64) {
        self.seed = seed
    }
}

/// A bug that is put in on purpose, to see whether the invariants find it.
package enum Mutation: String, CaseIterable, Sendable {
    /// The agent ignores that pods are deleted.
    case deletionsIgnored
    /// A caller is taken for the pod that last had its name.
    case attributedByName
    /// Cgroups that are removed stay in the index, and their IDs resolve.
    case goneCgroupsKept
    /// The records of pods that went stay, as of pods that have finished.
    case departedPodsKept
    /// Federated tokens are shared by the pods of a ServiceAccount.
    case tokensShared
    /// Every lifetime counts twice.
    case lifetimesDoubled
    /// `Retry-After` is not read.
    case retryAfterIgnored
    /// A failed exchange is repeated at once, three times.
    case retriesAtOnce
    /// A failed call is repeated every 60 ms, three times.
    case pausesNeverGrow
    /// Each exchange is made twice.
    case exchangesDoubled
    /// Each TokenRequest is made twice at the same time.
    case tokenRequestsDoubled
    /// Requests wait for as long as their upstreams take.
    case waitsUnbounded
    /// Failures of an upstream are remembered for half a minute.
    case failuresKeptTooLong
    /// A ServiceAccount is read once an hour.
    case accountsKept
    /// A TokenRequest names no ServiceAccount UID.
    case accountUIDNotPinned
    /// One audit line in ten is lost.
    case auditLinesLost
    /// Each mint is audited twice.
    case mintsAuditedTwice
    /// A caller whose pod is unknown causes no list of the pods.
    case missesIgnored
    /// A pod in phase Succeeded or Failed is served.
    case finishedPodsServed
    /// Failures of an upstream are remembered for an hour.
    case failuresKept
    /// A failure that may pass is answered with a status that clients do not retry.
    case statusesInvented
    /// The tokens that pods ask for count together, for all pods of the node.
    case limitsShared
    /// The words of a refusal end with the latest token.
    case refusalsShowTokens
    /// Each exchange is logged with its token.
    case tokensLogged
    /// Credentials of a predecessor are believed whatever their age.
    case handoverNotChecked
    /// A hand-over of another version is read as one of this version.
    case versionsIgnored
    /// The life of IAM's tokens is counted by the node's own calendar.
    case lifetimesByNodeClock
    /// The agent's clock stands still while the machine sleeps.
    case sleepNotCounted
    /// The tokens of a pod that went are kept.
    case tokensKept
    /// A pod that claims to be another's mirror is taken for it.
    case mirrorsBelieved
}
