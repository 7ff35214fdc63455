import Attribution

/// A caller's place among the waiters of one entry.
package struct TokenWait: Sendable, Hashable {
    enum Target: Sendable, Hashable {
        case token(TokenKey)
        case serviceAccount(ServiceAccountReference)
    }

    let id: UInt64
    let pod: PodUID
    let target: Target
}

/// Waits of equal length, which therefore end in the order in which they begin.
enum WaitQueue: Sendable {
    /// The waits that are as long as a client waits: for a token, or for a ServiceAccount of which no record is cached.
    case token
    /// The waits for a newer record of a ServiceAccount than the cached one, which is served at the end of the wait.
    case serviceAccount
}

extension TokenTable {
    /// Answered waiters leave their deadlines behind; this many are kept before looking for them.
    private static let deadlineSlack = 1_024

    subscript(queue: WaitQueue) -> DeadlineQueue<TokenWait> {
        get {
            switch queue {
            case .token: tokenDeadlines
            case .serviceAccount: serviceAccountDeadlines
            }
        }
        _modify {
            switch queue {
            case .token: yield &tokenDeadlines
            case .serviceAccount: yield &serviceAccountDeadlines
            }
        }
    }

    mutating func appendDeadline(_ wait: TokenWait, to queue: WaitQueue, now: Instant) {
        let limit =
            switch queue {
            case .token: configuration.waitLimit
            case .serviceAccount: configuration.serviceAccountWaitLimit
            }
        self[queue].append(wait, deadline: now + limit)
        guard self[queue].count > Self.deadlineSlack else { return }
        // The queue holds at most twice as many waits as callers wait for, and a few: a clean-up costs little per waiter.
        let living = pods.values.reduce(0) { $0 + $1.waiting }
        guard self[queue].count > 2 * living + Self.deadlineSlack else { return }
        var compacted = self[queue]
        compacted.compact { isWaiting($0) }
        self[queue] = compacted
    }

    /// Answers the callers that have waited as long as they can: with what is left of the old value, if there is one.
    mutating func expireWaiters(in queue: WaitQueue, now: Instant) {
        while let wait = self[queue].popFirst(dueAt: now) { end(wait, now: now) }
    }

    /// Ends a wait, if it has not ended: its time, or its caller's, is over. The fetch goes on.
    mutating func end(_ wait: TokenWait, now: Instant) {
        switch wait.target {
        case .token(let key):
            guard let waiter = takeTokenWaiter(wait.id, key: key) else { return }
            if let token = pods[wait.pod]?.slots[key]?.entry.waitLimitReached(at: now) {
                outbox.answer(waiter, .success(token))
            } else {
                counters.timedOut += 1
                outbox.answer(waiter, .failure(timeIsUp(for: key)))
            }
        case .serviceAccount(let reference):
            guard let waiter = takeServiceAccountWaiter(wait.id, reference: reference) else { return }
            if let record = serviceAccounts[reference]?.entry.waitLimitReached(at: now) {
                outbox.answer(waiter, .success(record))
            } else {
                counters.timedOut += 1
                outbox.answer(waiter, .failure(timeIsUp(for: reference)))
            }
        }
    }

    // MARK: Parts

    private func isWaiting(_ wait: TokenWait) -> Bool {
        switch wait.target {
        case .token(let key): pods[wait.pod]?.slots[key]?.isWaiting(wait.id) ?? false
        case .serviceAccount(let reference): serviceAccounts[reference]?.isWaiting(wait.id) ?? false
        }
    }

    private mutating func takeTokenWaiter(_ id: UInt64, key: TokenKey) -> Waiter<MintedToken>? {
        guard let waiter = pods[key.pod]?.slots[key]?.takeWaiter(id) else { return nil }
        pods[key.pod]?.waiting -= 1
        return waiter
    }

    private mutating func takeServiceAccountWaiter(
        _ id: UInt64, reference: ServiceAccountReference
    ) -> Waiter<ServiceAccountRecord>? {
        guard let waiter = serviceAccounts[reference]?.takeWaiter(id) else { return nil }
        pods[waiter.pod]?.waiting -= 1
        return waiter
    }

    /// The stage that the entry waits for: its own upstream, or that of the federated token it needs.
    func stage(of key: TokenKey) -> String {
        (awaited(by: key)?.stage ?? .queue).rawValue
    }

    private func awaited(by key: TokenKey) -> Slot<MintedToken>? {
        guard let shard = pods[key.pod], let slot = shard.slots[key] else { return nil }
        guard slot.fetch == .blocked, let federation = key.federation else { return slot }
        return shard.slots[federation] ?? slot
    }

    /// The failure for a caller whose time is up: why the fetch takes so long, if that is known, else where it is.
    private func timeIsUp(for key: TokenKey) -> TokenFailure {
        guard let setback = awaited(by: key)?.setback, let shard = pods[key.pod] else {
            return .timedOut(stage: stage(of: key))
        }
        return shard.tokenFailure(setback, retryAfter: Self.pauseAfterTimeout, key: key)
    }

    private func timeIsUp(for reference: ServiceAccountReference) -> TokenFailure {
        guard let setback = serviceAccounts[reference]?.setback else {
            return .timedOut(stage: FetchStage.serviceAccount.rawValue)
        }
        return Self.failure(setback, retryAfter: Self.pauseAfterTimeout, of: reference)
    }

    /// The fetch goes on: asking again soon may find its result.
    private static let pauseAfterTimeout = Duration.seconds(1)
}
