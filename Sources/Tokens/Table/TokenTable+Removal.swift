import Attribution

extension TokenTable {
    /// Drops everything of the pod. A fetch of its that is under way finds nothing to store its result in.
    mutating func forget(_ pod: PodUID, now: Instant) {
        forgottenPods[pod] = now + configuration.waitLimit
        for reference in Array(serviceAccounts.keys) {
            for waiter in serviceAccounts[reference]?.takeWaiters(of: pod) ?? [] {
                outbox.answer(waiter, .failure(.podGone))
            }
        }
        if var shard = pods.removeValue(forKey: pod) {
            readyPods.removeAll { $0 == pod }
            for key in Array(shard.slots.keys) {
                for waiter in shard.slots[key]?.takeWaiters() ?? [] { outbox.answer(waiter, .failure(.podGone)) }
            }
        }
        outbox.sort()
    }

    /// Removes what has expired: tokens without a refresh, failures, records, pods without anything.
    mutating func sweep(now: Instant) {
        for index in pods.values.indices { pods.values[index].removeSpentTokens(now: now) }
        pods.removeValues { $0.isIdle(at: now) }
        serviceAccounts.removeValues { $0.isSpent(at: now) }
        if !paces.isEmpty {
            let queued = pods.values.flatMap(\.queue)
            let awaited = Set(queued.compactMap { $0.key.pace(with: $0.federated) })
            paces = paces.filter { key, pace in
                pace.isSpaced(at: now) && (awaited.contains(key) || !pace.isOutdated(at: now))
            }
        }
        for (pod, end) in forgottenPods where now >= end { forgottenPods[pod] = nil }
    }

    /// Answers everybody, now and later, that the service has ended.
    mutating func stop(now: Instant) {
        isStopped = true
        let failure = TokenFailure.timedOut(stage: "the agent, which is stopping")
        for reference in serviceAccounts.keys {
            for waiter in serviceAccounts[reference]?.takeWaiters() ?? [] { outbox.answer(waiter, .failure(failure)) }
        }
        for uid in pods.keys {
            for key in pods[uid]?.slots.keys.map({ $0 }) ?? [] {
                for waiter in pods[uid]?.slots[key]?.takeWaiters() ?? [] { outbox.answer(waiter, .failure(failure)) }
            }
        }
        pods = [:]
        serviceAccounts = [:]
        readyPods = []
        outbox.sort()
    }
}

extension Dictionary {
    /// Removes values. Nearly always none is to go: to look at them in their place copies none of them.
    mutating func removeValues(where isRemoved: (Value) -> Bool) {
        guard indices.contains(where: { isRemoved(values[$0]) }) else { return }
        self = filter { !isRemoved($0.value) }
    }
}
