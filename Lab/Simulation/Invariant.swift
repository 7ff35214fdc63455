import Attribution

/// Statements that hold at every step: see docs/simulation.md.
package enum Invariant: String, CaseIterable, Sendable {
    /// A pod gets no token but its own.
    case ownToken = "own-token"
    /// No audit line, message of the log, Event or refusal holds a token.
    case secrecy
    /// No pod is refused for a limit because of what other pods ask.
    case ownLimits = "own-limits"
    /// A token speaks for what the ServiceAccount names now, or named within the stated bound.
    case presentAccount = "present-account"
    /// A pod whose end is known gets no token.
    case ended = "ended-pod"
    /// No token past its end, and none with a longer life than it has.
    case lifetime
    /// An entry has at most one fetch.
    case singleFetch = "single-fetch"
    /// Every request ends in bounded time, with a documented status.
    case answered
    /// Every table is within its bound.
    case bounded
    /// No retry closer than its schedule, and none before `Retry-After`.
    case retry
    /// A pod that can have its identity gets it within the stated bound of the last fault's end.
    case liveness
    /// Exactly one audit line for each mint and each denial.
    case audit
    /// An upgrade makes no upstream call.
    case freeUpgrade = "free-upgrade"
}

/// One breach of an invariant.
package struct Violation: Sendable {
    package var invariant: Invariant
    package var text: String
    /// The time since the beginning of the simulation.
    package var at: Duration
}

/// The counts and memories by which invariants are checked.
struct InvariantRecord {
    var violations: [Violation] = []
    var checks: [Invariant: Int] = [:]
    var statuses: [Int: Int] = [:]
    var requests = 0
    var resets = 0
    var upstreamCalls = 0
    var slowest = Duration.zero

    mutating func check(_ invariant: Invariant) { checks[invariant, default: 0] += 1 }
}

/// The memories that concern one agent, from its start to its end. Met by the world's thread alone.
final class AgentMemory: @unchecked Sendable {
    /// Pods whose end the watch has reported to the agent.
    var ended: [PodUID: ContinuousClock.Instant] = [:]
    /// The time at which the watch first reported each pod to the agent, by the pod's name.
    var heard: [String: ContinuousClock.Instant] = [:]
    /// The pods that the watch has told the agent of, less those whose end it has told.
    var known: Set<PodUID> = []
    /// The times at which pods were forgotten, the latest of them.
    var departures: [ContinuousClock.Instant] = []
    /// The time at which each ServiceAccount was last read, by the URL; and when each quota last refused a call.
    var accountReads: [String: ContinuousClock.Instant] = [:]
    var refusals: [String: ContinuousClock.Instant] = [:]
    /// Calls by what they are for, by pod; `nil` for calls that concern none.
    var calls: [PodUID?: [CallKey: CallMemory]] = [:]
    /// Fetches for pods that were forgotten meanwhile: their calls fill no entry.
    var orphans: Set<ContinuousClock.Instant> = []
    /// How often the agent forgot each pod: calls that began before concern nothing that it does later.
    var generations: [PodUID: Int] = [:]

    func heard(of pod: PodRecord, at now: ContinuousClock.Instant) {
        heard[pod.name] = heard[pod.name] ?? now
        ended[pod.uid] = pod.phase.isTerminal ? ended[pod.uid] ?? now : nil
    }

    /// Drops the failures of a pod's calls that say nothing of later ones any more, where there are many.
    func dropOldFailures(of pod: PodUID?, before moment: ContinuousClock.Instant) {
        guard let all = calls[pod], all.count > 32 else { return }
        calls[pod] = all.filter { _, calls in calls.count > 0 || calls.failure.map { $0.at >= moment } ?? false }
    }

    /// A predecessor's credentials bring its ServiceAccounts along.
    func inherit(from former: AgentMemory) {
        accountReads.merge(former.accountReads) { max($0, $1) }
    }

    func generation(of pod: PodUID?) -> Int { pod.flatMap { generations[$0] } ?? 0 }

    /// Denials that are to be audited, and those that were.
    var denials = 0
    var auditedDenials = 0
    /// Fetches that ended in a failure and were reported, and those that were audited.
    var failures = 0
    var auditedFailures = 0
}

/// The tokens that pods of one node were served, and the mints audited there, whichever agent ran.
struct NodeLedger {
    /// Tokens that were served, by what they are for: how many different ones.
    var served: [String: Set<String>] = [:]
    /// Audit lines that report a mint.
    var audited: [String: Int] = [:]
    /// Mints that the token service reported, and all audit lines of mints.
    var mints = 0
    var auditedMints = 0
}
