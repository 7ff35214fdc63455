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
        var entries: [TokenEntrySnapshot] = []
        // Shards and slots are looked at in their place: to copy one costs more than to describe it.
        for shard in pods.values.indices {
            let account = ServiceAccountReference(of: pods.values[shard].record)
            let slots = pods.values[shard].slots
            for place in slots.indices {
                let key = slots.keys[place]
                let stage = slots.values[place].isPinned ? stage(of: key) : nil
                entries.append(slots.values[place].snapshot(of: key, account, stage, now: now))
            }
        }
        return entries
    }
}

extension Slot<MintedToken> {
    fileprivate func snapshot(
        of key: TokenKey, _ account: ServiceAccountReference, _ stage: String?, now: ContinuousClock.Instant
    ) -> TokenEntrySnapshot {
        let token = entry.latestValue
        return TokenEntrySnapshot(
            pod: key.pod,
            account: account,
            target: key.target,
            kind: key.kind,
            quotaProject: key.quotaProject,
            state: entry.phase.rawValue,
            age: token.map { now - $0.issuedAt },
            remaining: token.map { $0.expiresAt - now },
            waiters: waiters.count,
            stage: stage,
            lastFailure: entry.latestFailure
        )
    }
}
