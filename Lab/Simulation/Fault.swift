/// The faults that a seed injects, by kind.
package enum Fault: String, CaseIterable, Sendable, Hashable {
    // The API server.
    case apiDown, apiSlow, apiErrors, apiThrottle, apiGarbled, apiForgetsPods, apiClockAhead, apiClockBehind
    // Watches of the API server.
    case watchSilent, watchCut, watchGarbage, watchCompacted, watchDuplicates, watchReorders, watchDrops, watchLate
    // Google.
    case stsDown, stsSlow, stsErrors, stsThrottle, stsGarbled
    case iamDown, iamSlow, iamErrors, iamThrottle, iamGarbled, iamRevokes, iamClockAhead, iamClockBehind
    /// Calls arrive, their answers do not.
    case answersLost
    // The node.
    case cgroupEventsLost, credentialsRotated, credentialsExpired
    /// The calendar's clock is set; the machine sleeps, or is moved, and no timer counts the time.
    case nodeClockSteps, nodeSuspended
    // The cluster.
    case podBurst, podsReplaced, accountRecreated, accountDeleted, annotationFlips
    /// Another pod gets the UID of one that went, as after a restored backup; a pod claims to be the mirror of another.
    case podUIDReused, podUIDClaimed
    // The agent.
    case agentCrashes, agentRestarts, agentUpgrades
    /// The bytes of a hand-over are cut on their way, or of another version than the successor's.
    case handoverDamaged

    /// The faults that are drawn one after the other. A hand-over is damaged by a chance of its own, at some upgrades.
    static let drawn = allCases.filter { $0 != .handoverDamaged }

    /// Whether a node may fail to read ServiceAccounts meanwhile.
    var troublesAccounts: Bool {
        switch self {
        case .apiDown, .apiSlow, .apiErrors, .apiThrottle, .apiGarbled, .apiForgetsPods, .answersLost,
            .credentialsExpired:
            true
        default: false
        }
    }

    /// Whether it is over as soon as it has happened.
    var isMoment: Bool {
        switch self {
        case .watchCut, .watchGarbage, .watchCompacted, .iamRevokes, .cgroupEventsLost, .credentialsRotated, .podBurst,
            .podsReplaced, .accountRecreated, .accountDeleted, .annotationFlips, .agentCrashes, .agentRestarts,
            .agentUpgrades, .handoverDamaged, .nodeClockSteps, .nodeSuspended, .podUIDReused, .podUIDClaimed:
            true
        case .apiDown, .apiSlow, .apiErrors, .apiThrottle, .apiGarbled, .apiForgetsPods, .apiClockAhead,
            .apiClockBehind, .watchSilent, .watchDuplicates, .watchReorders, .watchDrops, .watchLate, .stsDown,
            .stsSlow, .stsErrors, .stsThrottle, .stsGarbled, .iamDown, .iamSlow, .iamErrors, .iamThrottle,
            .iamGarbled, .iamClockAhead, .iamClockBehind, .answersLost, .credentialsExpired:
            false
        }
    }
}

/// The faults that last, each with its end.
struct Weather {
    private var ends: [(fault: Fault, end: ContinuousClock.Instant)] = []

    func has(_ fault: Fault, at now: ContinuousClock.Instant) -> Bool {
        ends.contains { $0.fault == fault && now < $0.end }
    }

    mutating func begin(_ fault: Fault, from now: ContinuousClock.Instant, until end: ContinuousClock.Instant) {
        ends.removeAll { $0.end <= now }
        ends.append((fault, end))
    }

    mutating func clear() { ends = [] }
}
