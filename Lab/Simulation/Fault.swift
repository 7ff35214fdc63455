/// The faults that a seed injects, by kind.
package enum Fault: String, CaseIterable, Sendable, Hashable {
    // The API server.
    case apiDown, apiSlow, apiErrors, apiThrottle, apiGarbled, apiForgetsPods, apiClockAhead, apiClockBehind
    // Watches of the API server.
    case watchSilent, watchCut, watchGarbage, watchCompacted, watchDuplicates, watchReorders, watchDrops, watchLate
    // Google.
    case stsDown, stsSlow, stsErrors, stsThrottle, stsGarbled
    case iamDown, iamSlow, iamErrors, iamThrottle, iamGarbled, iamRevokes
    /// Calls arrive, their answers do not.
    case answersLost
    // The node.
    case cgroupEventsLost, credentialsRotated, credentialsExpired
    // The cluster.
    case podBurst, podsReplaced, accountRecreated, accountDeleted, annotationFlips
    // The agent.
    case agentCrashes, agentRestarts, agentUpgrades

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
            .agentUpgrades:
            true
        case .apiDown, .apiSlow, .apiErrors, .apiThrottle, .apiGarbled, .apiForgetsPods, .apiClockAhead,
            .apiClockBehind, .watchSilent, .watchDuplicates, .watchReorders, .watchDrops, .watchLate, .stsDown,
            .stsSlow, .stsErrors, .stsThrottle, .stsGarbled, .iamDown, .iamSlow, .iamErrors, .iamThrottle,
            .iamGarbled, .answersLost, .credentialsExpired:
            false
        }
    }
}

/// The faults that last, each with its end.
struct Weather {
    private var ends: [Fault: ContinuousClock.Instant] = [:]

    func has(_ fault: Fault, at now: ContinuousClock.Instant) -> Bool {
        ends[fault].map { now < $0 } ?? false
    }

    mutating func begin(_ fault: Fault, until end: ContinuousClock.Instant) {
        ends[fault] = max(ends[fault] ?? end, end)
    }

    mutating func clear() { ends = [:] }
}
