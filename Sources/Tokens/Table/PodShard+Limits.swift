import Attribution

extension PodShard {
    /// Why one more request of the pod may not wait; `nil` when it may.
    func refusalToWait() -> TokenFailure? {
        guard waiting >= configuration.waitersPerPod else { return nil }
        return .limited(
            reason: "\(configuration.waitersPerPod) requests of the pod wait for tokens already",
            retryAfter: .seconds(1)
        )
    }

    /// Charges a fetch of `key` to the pod and makes room for its result, or says why not.
    ///
    /// Beyond its number of cached tokens a pod displaces its own, the least recently used first: rotating through
    /// 10,000 audiences costs bounded memory, and is slowed by the fetch rate.
    mutating func admitFetch(of key: TokenKey, now: Instant, counters: inout TokenCounters) -> TokenFailure? {
        let fetchLimit = configuration.fetchesPerPod + configuration.queuedFetchesPerPod
        guard pendingFetches < fetchLimit else {
            return .limited(
                reason: "\(fetchLimit) different tokens of the pod are being fetched already", retryAfter: .seconds(1))
        }
        let room = room(for: key)
        if case .none = room {
            return .limited(
                reason: "the pod asks for too many different scope sets or audiences at once",
                retryAfter: .seconds(1)
            )
        }
        if let pause = bucket.take(at: now) {
            return .limited(
                reason: "the pod asks for new tokens faster than \(configuration.fetchRatePerPod) per second",
                retryAfter: pause
            )
        }
        if case .displacing(let victim) = room {
            slots[victim] = nil
            counters.evicted += 1
        }
        return nil
    }

    /// Whether one more token is kept without displacing another.
    func hasRoom(for key: TokenKey) -> Bool {
        slots.keys.count { $0.kind.isCounted(with: key.kind) } < limit(for: key.kind)
    }

    private enum Room {
        case free
        case displacing(TokenKey)
        case none
    }

    private func room(for key: TokenKey) -> Room {
        guard slots[key] == nil else { return .free }
        var count = 0
        var oldest: (key: TokenKey, usedAt: Instant)?
        for (other, slot) in slots where other.kind.isCounted(with: key.kind) {
            count += 1
            if slot.isPinned { continue }
            if let found = oldest, !isOlder(other, slot.lastUsedAt, than: found.key, found.usedAt) { continue }
            oldest = (other, slot.lastUsedAt)
        }
        guard count >= limit(for: key.kind) else { return .free }
        return oldest.map { .displacing($0.key) } ?? .none
    }

    /// Compares two tokens by their use. Among tokens that were used at the same moment the choice is the same in every
    /// process. Only those are compared by their texts, which may have thousands of bytes each: this runs with the lock
    /// of all pods held.
    private func isOlder(_ key: TokenKey, _ usedAt: Instant, than other: TokenKey, _ otherUsedAt: Instant) -> Bool {
        usedAt == otherUsedAt ? key.order < other.order : usedAt < otherUsedAt
    }

    private func limit(for kind: TokenKey.Kind) -> Int {
        switch kind {
        case .accessToken: configuration.accessTokensPerPod
        case .identityToken: configuration.identityTokensPerPod
        // Callers cannot name one; there is one per ServiceAccount UID.
        case .federation: .max
        case .podToken: configuration.podTokensPerPod
        case .cloudCredential: configuration.cloudCredentialsPerPod
        }
    }

    // MARK: Removal

    /// Removes the tokens that the ServiceAccount, as it reads now, no longer names. One that is being fetched
    /// answers those who wait for it already and goes then.
    mutating func retireTokens(notOf account: ServiceAccountRecord) {
        for key in slots.keys where !key.belongs(to: account) {
            if slots[key]?.isPinned == true {
                slots[key]?.isRetired = true
            } else {
                slots[key] = nil
            }
        }
    }

    /// Removes what no request could get any more.
    mutating func removeSpentTokens(now: Instant) {
        slots.removeValues { $0.isSpent(at: now) }
    }

    /// Whether forgetting the shard changes no answer.
    func isIdle(at now: Instant) -> Bool {
        slots.isEmpty && running.isEmpty && waiting == 0 && bucket.isFull(at: now)
    }
}

extension TokenKey.Kind {
    /// Whether both kinds share one limit.
    fileprivate func isCounted(with other: TokenKey.Kind) -> Bool {
        switch (self, other) {
        case (.accessToken, .accessToken), (.identityToken, .identityToken), (.federation, .federation),
            (.podToken, .podToken), (.cloudCredential, .cloudCredential):
            true
        case (.accessToken, _), (.identityToken, _), (.federation, _), (.podToken, _), (.cloudCredential, _): false
        }
    }
}
