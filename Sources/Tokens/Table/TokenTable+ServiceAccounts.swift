import Attribution

extension TokenTable {
    /// The ServiceAccount, if it can be had without waiting. Starts the read that is due.
    mutating func cachedServiceAccount(of pod: PodRecord, now: Instant) -> ServiceAccountRecord? {
        guard !isStopped else { return nil }
        let reference = ServiceAccountReference(of: pod)
        switch serviceAccounts[reference]?.use(at: now) {
        case .serve(let record)?:
            return record
        case .serveAndFetch(let record)?:
            beginRead(of: reference, since: now + configuration.waitLimit)
            return record
        case .join?, .fetch?, .fail?, nil:
            return nil
        }
    }

    /// Answers `waiter` now or keeps it. One read serves everybody who waits, of whatever pod: it is the same account.
    mutating func requestServiceAccount(
        of pod: PodRecord, waiter: Waiter<ServiceAccountRecord>, now: Instant
    ) {
        if let refusal = refusal(for: pod.uid, now: now) { return outbox.answer(waiter, .failure(refusal)) }
        let reference = ServiceAccountReference(of: pod)
        guard !reference.name.isEmpty else {
            let failure = UpstreamFailure(
                upstream: .kubernetes, kind: .denied, message: "the pod has no ServiceAccount")
            let refusal = TokenFailure.upstream(failure, account: reference, googleServiceAccount: nil)
            return outbox.answer(waiter, .failure(refusal))
        }
        let action = serviceAccounts[reference]?.use(at: now) ?? .fetch
        switch action {
        case .serve(let record):
            return outbox.answer(waiter, .success(record))
        case .serveAndFetch(let record):
            beginRead(of: reference, since: now + configuration.waitLimit)
            return outbox.answer(waiter, .success(record))
        case .fail(let failure, let retryAfter):
            return outbox.answer(waiter, .failure(Self.failure(failure, retryAfter: retryAfter, of: reference)))
        case .join, .fetch:
            break
        }
        addShard(for: pod, now: now)
        if let refusal = pods[pod.uid]?.refusalToWait() {
            counters.limited += 1
            return outbox.answer(waiter, .failure(refusal))
        }
        serviceAccounts[reference, default: Slot(now: now)].append(waiter)
        pods[pod.uid]?.waiting += 1
        // Where there is no older record to serve, to give up before the client does would not help.
        let hasOlder = serviceAccounts[reference]?.entry.remaining(at: now) != nil
        appendDeadline(
            TokenWait(id: waiter.id, pod: pod.uid, target: .serviceAccount(reference)),
            to: hasOlder ? .serviceAccount : .token, now: now)
        if case .fetch = action { beginRead(of: reference, since: waiter.since) }
    }

    /// Reads are bounded by themselves: one per ServiceAccount at a time, and about one per second.
    private mutating func beginRead(of reference: ServiceAccountReference, since: Instant) {
        let id = FetchID(rawValue: makeID())
        serviceAccounts[reference]?.entry.fetchStarted()
        serviceAccounts[reference]?.fetch = .running(id)
        serviceAccounts[reference]?.progressed(.stage(.serviceAccount))
        outbox.jobs.append(.serviceAccount(ServiceAccountFetch(id: id, reference: reference, waitingSince: since)))
    }

    /// The end of a read, or of its time; `false` when no caller is left to have it. A first record, or a changed one,
    /// retires the tokens of what was before.
    mutating func settle(
        _ fetch: ServiceAccountFetch, _ result: Result<ServiceAccountRecord, UpstreamFailure>,
        startedAt: Instant, now: Instant
    ) -> Bool {
        let isWanted = serviceAccounts[fetch.reference]?.fetch == .running(fetch.id)
        counters.serviceAccountReads[Self.outcome(result, isWanted: isWanted), default: 0] += 1
        guard isWanted, var slot = serviceAccounts.removeValue(forKey: fetch.reference) else { return false }
        slot.fetch = .none
        let policy = configuration.serviceAccounts
        let action =
            switch result {
            case .success(let record):
                // Aged from before the read: the record may be as old as that.
                slot.entry.fetchSucceeded(
                    record, freshness: Freshness(ofServiceAccountReadAt: startedAt, policy: policy))
            case .failure(let failure):
                slot.entry.fetchFailed(failure, at: now, policy: policy.failures, jitter: jitter())
            }
        let answer: Result<ServiceAccountRecord, TokenFailure> =
            switch action {
            case .serve(let record): .success(record)
            case .fail(let failure, let retryAfter):
                .failure(Self.failure(failure, retryAfter: retryAfter, of: fetch.reference))
            }
        for waiter in slot.takeWaiters() {
            pods[waiter.pod]?.waiting -= 1
            outbox.answer(waiter, answer)
        }
        serviceAccounts[fetch.reference] = slot
        if case .success(let record) = result { retireTokens(notOf: record, reference: fetch.reference) }
        return true
    }

    mutating func progressed(_ fetch: ServiceAccountFetch, _ progress: FetchProgress) {
        count(progress)
        guard serviceAccounts[fetch.reference]?.fetch == .running(fetch.id) else { return }
        serviceAccounts[fetch.reference]?.progressed(progress)
    }

    private mutating func retireTokens(notOf record: ServiceAccountRecord, reference: ServiceAccountReference) {
        for uid in pods.keys where pods[uid].map({ ServiceAccountReference(of: $0.record) }) == reference {
            pods[uid]?.retireTokens(notOf: record)
        }
    }

    static func failure(
        _ failure: UpstreamFailure, retryAfter: Duration, of reference: ServiceAccountReference
    ) -> TokenFailure {
        .upstream(failure.repeatable(after: retryAfter), account: reference, googleServiceAccount: nil)
    }
}
