import Attribution

extension PodShard {
    /// Starts the fetch for an existing slot: at once, or once the federated token it needs is there.
    /// `since` is when the request arrived that wants it; in the future if none waits.
    mutating func beginFetch(
        of key: TokenKey, since: Instant, now: Instant, counters: inout TokenCounters, outbox: inout Outbox
    ) {
        slots[key]?.entry.fetchStarted()
        slots[key]?.waitingSince = since
        pendingFetches += 1
        guard let federation = key.federation else { return enqueue(key, now: now) }
        // The federated token serves until its last minute: only calls need it, and a call takes seconds.
        if let token = slots[federation]?.entry.remaining(at: now) {
            return enqueue(key, federated: token, now: now)
        }
        block(key, on: federation, since: since, now: now, counters: &counters, outbox: &outbox)
    }

    /// Has the fetch wait for the federated token, and starts that one's if need be.
    private mutating func block(
        _ key: TokenKey, on federation: TokenKey, since: Instant, now: Instant, counters: inout TokenCounters,
        outbox: inout Outbox
    ) {
        lastTurn += 1
        slots[key]?.turn = lastTurn
        slots[key]?.fetch = .blocked
        switch slots[federation]?.use(at: now) ?? .fetch {
        case .join:
            break
        case .fail(let failure, _):
            conclude(key, .failure(failure), now: now, counters: &counters, outbox: &outbox)
        case .fetch, .serve, .serveAndFetch:
            slots[federation, default: Slot(now: now)].entry.fetchStarted()
            slots[federation]?.waitingSince = since
            enqueue(federation, now: now)
        }
    }

    mutating func enqueue(_ key: TokenKey, federated: MintedToken? = nil, now: Instant) {
        slots[key, default: Slot(now: now)].fetch = .queued
        slots[key]?.progressed(.stage(.queue))
        queue.append(QueuedFetch(key: key, federated: federated, waitingSince: slots[key]?.waitingSince ?? now))
    }

    /// The next fetch of those that `isWanted` by key and federated token, if the pod may run one more.
    mutating func startFetch(
        _ id: FetchID, now: Instant, where isWanted: (TokenKey, MintedToken?) -> Bool
    ) -> TokenFetch? {
        guard canStartFetch, let index = queue.firstIndex(where: { isWanted($0.key, $0.federated) }) else { return nil }
        let next = queue.remove(at: index)
        slots[next.key]?.fetch = .running(id)
        running.insert(id)
        return TokenFetch(
            id: id, key: next.key, pod: record, federated: next.federated, waitingSince: next.waitingSince,
            startedAt: now)
    }

    var canStartFetch: Bool { !queue.isEmpty && running.count < configuration.fetchesPerPod }

    /// The meaning of a fetch's end.
    enum Settlement {
        /// The fetch's result is the entry's.
        case ended
        /// The fetch goes on with a new federated token.
        case repeated
        /// The fetch has failed, and is queued again, to start at its upstream's pace.
        case held
        /// The fetch's result came too late to matter.
        case discarded
    }

    /// The end of a fetch, or of a part of it.
    mutating func settle(
        _ fetch: TokenFetch, _ result: Result<MintedToken, UpstreamFailure>, now: Instant,
        counters: inout TokenCounters, outbox: inout Outbox
    ) -> Settlement {
        guard let slot = slots[fetch.key], slot.fetch == .running(fetch.id) else { return .discarded }
        if case .failure(let failure) = result, failure.upstream == .iamCredentials, failure.status == 401,
            let federation = fetch.key.federation
        {
            // IAM does not know the federated token any more. Other fetches may have found that out, and have a new one.
            if slots[federation]?.entry.latestValue == fetch.federated { slots[federation]?.entry.invalidate() }
            // A new one may please it; a third would not.
            if !slot.hasRenewedFederation {
                slots[fetch.key]?.hasRenewedFederation = true
                resume(fetch, on: federation, now: now, counters: &counters, outbox: &outbox)
                return .repeated
            }
        }
        // A token that the ServiceAccount no longer names is not worth another call.
        if case .failure(let failure) = result, !slot.isRetired, isPaced(fetch, after: failure) {
            hold(fetch, after: failure, now: now, outbox: &outbox)
            return .held
        }
        conclude(fetch.key, result, now: now, counters: &counters, outbox: &outbox)
        return .ended
    }

    private mutating func resume(
        _ fetch: TokenFetch, on federation: TokenKey, now: Instant, counters: inout TokenCounters, outbox: inout Outbox
    ) {
        if let token = slots[federation]?.entry.remaining(at: now) {
            enqueue(fetch.key, federated: token, now: now)
        } else {
            block(
                fetch.key, on: federation, since: fetch.waitingSince, now: now, counters: &counters, outbox: &outbox)
        }
    }

    private mutating func conclude(
        _ key: TokenKey, _ result: Result<MintedToken, UpstreamFailure>, now: Instant,
        counters: inout TokenCounters, outbox: inout Outbox
    ) {
        guard var slot = slots.removeValue(forKey: key) else { return }
        slot.fetch = .none
        slot.hasRenewedFederation = false
        let policy = configuration.policy(for: key)
        let action =
            switch result {
            case .success(let token):
                slot.entry.fetchSucceeded(
                    token, freshness: Freshness(of: token, policy: policy, jitter: jitter()))
            case .failure(let failure):
                slot.entry.fetchFailed(failure, at: now, policy: policy.failures, jitter: jitter())
            }
        let answer: Result<MintedToken, TokenFailure> =
            switch action {
            case .serve(let token): .success(token)
            case .fail(let failure, let retryAfter):
                .failure(tokenFailure(failure, retryAfter: retryAfter, key: key))
            }
        let waiters = slot.takeWaiters()
        waiting -= waiters.count
        for waiter in waiters { outbox.answer(waiter, answer) }
        if !slot.isRetired { slots[key] = slot }

        if key.kind == .federation {
            unblock(on: key, result, now: now, counters: &counters, outbox: &outbox)
        } else {
            pendingFetches -= 1
        }
    }

    /// Lets the fetches go on that waited for the federated token, or ends them with its failure.
    private mutating func unblock(
        on federation: TokenKey, _ result: Result<MintedToken, UpstreamFailure>, now: Instant,
        counters: inout TokenCounters, outbox: inout Outbox
    ) {
        let blocked = slots.filter { $0.value.fetch == .blocked && $0.key.federation == federation }
        // In the order in which they began to wait.
        for key in blocked.sorted(by: { $0.value.turn < $1.value.turn }).map(\.key) {
            switch result {
            case .success(let token):
                enqueue(key, federated: token, now: now)
            case .failure:
                conclude(key, result, now: now, counters: &counters, outbox: &outbox)
            }
        }
    }

    func tokenFailure(_ failure: UpstreamFailure, retryAfter: Duration, key: TokenKey) -> TokenFailure {
        TokenFailure.upstream(
            failure.repeatable(after: retryAfter),
            account: ServiceAccountReference(of: record),
            googleServiceAccount: key.googleServiceAccount
        )
    }
}
