extension TokenTable {
    /// How many entries are in each state.
    var entryStates: [TokenEntryState: Int] {
        var states: [TokenEntryState: Int] = [:]
        for shard in pods.values {
            for slot in shard.slots.values { states[slot.entry.phase, default: 0] += 1 }
        }
        return states
    }

    /// Every entry, described without its token.
    func snapshot(now: Instant) -> [TokenEntrySnapshot] {
        pods.values.flatMap { shard in
            shard.slots.map { key, slot in
                let token = slot.entry.latestValue
                return TokenEntrySnapshot(
                    pod: key.pod,
                    account: ServiceAccountReference(of: shard.record),
                    target: key.target,
                    kind: key.kind,
                    quotaProject: key.quotaProject,
                    state: slot.entry.phase.rawValue,
                    age: token.map { now - $0.issuedAt },
                    remaining: token.map { $0.expiresAt - now },
                    waiters: slot.waiters.count,
                    stage: slot.isPinned ? stage(of: key) : nil,
                    lastFailure: slot.entry.latestFailure
                )
            }
        }
    }
}
