import Attribution

/// All decisions of the token service: who is answered what, and which fetches start when.
///
/// A value without I/O. Its methods name the moment they happen in and leave what has to be done in `outbox`.
struct TokenTable: Sendable {
    typealias Instant = ContinuousClock.Instant

    private let shared: Shared<TokenServiceConfiguration>
    var configuration: TokenServiceConfiguration { shared.value }
    let jitter: JitterSource

    /// One per pod that asked. Bounded by the pods of the node: callers come with a record from its pod list.
    var pods: [PodUID: PodShard] = [:]
    /// One per ServiceAccount that those pods use.
    var serviceAccounts: [ServiceAccountReference: Slot<ServiceAccountRecord>] = [:]
    /// Token fetches of all pods that run.
    var runningCount = 0
    /// Pods with queued fetches, in the order in which they get their turn.
    var readyPods: [PodUID] = []
    /// The paces of quotas whose upstream refused a call because there were too many. At most one for each token key of a pod; the
    /// sweep removes outdated ones.
    var paces: [PaceKey: ExchangePace] = [:]
    /// The time at which the next fetch may start that waits for its upstream's pace; `nil` where none waits.
    var pacedUntil: Instant?
    /// The planned wakes for the paces, each earlier than the one in front of it.
    var pacedWakes: [Instant] = []
    /// Pods that went, until no request can be under way that was attributed before.
    var forgottenPods: [PodUID: Instant] = [:]
    var tokenDeadlines = DeadlineQueue<TokenWait>()
    var serviceAccountDeadlines = DeadlineQueue<TokenWait>()
    var counters = TokenCounters()
    var outbox = Outbox()
    /// Every waiter and fetch gets a number of its own.
    var lastID: UInt64 = 0
    var isStopped = false

    init(configuration: TokenServiceConfiguration, jitter: @escaping JitterSource) {
        self.shared = Shared(configuration)
        self.jitter = jitter
    }

    mutating func makeID() -> UInt64 {
        lastID += 1
        return lastID
    }

    mutating func takeOutbox() -> Outbox {
        guard !outbox.isEmpty else { return Outbox() }
        defer { outbox = Outbox() }
        return outbox
    }

    // MARK: Requests

    mutating func cachedToken(_ key: TokenKey, for pod: PodRecord, now: Instant) -> MintedToken? {
        guard !isStopped else { return nil }
        let refreshes = counters.backgroundRefreshes
        let token = pods[pod.uid]?.cachedToken(key, for: pod, now: now, counters: &counters, outbox: &outbox)
        if counters.backgroundRefreshes != refreshes { startFetches(ofReady: pod.uid, now: now) }
        return token
    }

    /// The time until which a request for the token would be answered as now, if nothing changes. `nil` if it would not
    /// be answered at once, or not with this ServiceAccount.
    func steadyEnd(of key: TokenKey, for pod: PodRecord, account: ServiceAccountRecord, now: Instant) -> Instant? {
        guard !isStopped,
            let read = serviceAccounts[account.reference]?.entry, read.latestValue == account,
            let token = pods[pod.uid]?.slots[key]?.entry, let minted = token.latestValue,
            let readEnd = read.steadyEnd(at: now), let tokenEnd = token.steadyEnd(at: now)
        else { return nil }
        return min(readEnd, tokenEnd, minted.nextSecond(after: now))
    }

    /// Answers `waiter` now or keeps it.
    mutating func requestToken(
        _ key: TokenKey, for pod: PodRecord, waiter: Waiter<MintedToken>, now: Instant
    ) {
        if let refusal = refusal(for: pod.uid, now: now) { return outbox.answer(waiter, .failure(refusal)) }
        addShard(for: pod, now: now)
        let fetches = counters.misses + counters.backgroundRefreshes
        let isWaiting =
            pods[pod.uid]?.requestToken(
                key, for: pod, waiter: waiter, now: now, counters: &counters, outbox: &outbox) ?? false
        if isWaiting {
            appendDeadline(TokenWait(id: waiter.id, pod: pod.uid, target: .token(key)), to: .token, now: now)
        }
        // The first request that waits for a token changes the turn of its fetch. For later ones it stays: the end of
        // another fetch, or the pace, starts it.
        let isFirst = isWaiting && pods[pod.uid]?.slots[key]?.waiters.count == 1
        if isFirst || counters.misses + counters.backgroundRefreshes != fetches {
            startFetches(ofReady: pod.uid, now: now)
        }
    }

    func refusal(for pod: PodUID, now: Instant) -> TokenFailure? {
        if isStopped { return .timedOut(stage: "the agent, which is stopping") }
        if let end = forgottenPods[pod], now < end { return .podGone }
        return nil
    }

    mutating func addShard(for pod: PodRecord, now: Instant) {
        if pods[pod.uid] == nil {
            pods[pod.uid] = PodShard(pod, configuration: shared, jitter: jitter, now: now)
        }
    }

    // MARK: Fetches

    mutating func startFetches(ofReady pod: PodUID, now: Instant) {
        guard pods[pod]?.canStartFetch == true else { return }
        if !readyPods.contains(pod) { readyPods.append(pod) }
        startFetches(now: now)
    }

    /// Starts what the limits and the paces allow, of what is not spaced one fetch per pod and turn.
    mutating func startFetches(now: Instant) {
        keepShare(now: now)
        let spaced = Set(paces.filter { $0.value.isSpaced(at: now) }.keys)
        var hasProgress = true
        while hasProgress {
            hasProgress = false
            var waiting: [PodUID] = []
            for pod in readyPods {
                guard let shard = pods[pod], shard.canStartFetch else { continue }
                guard mayRunAnother(of: shard) else {
                    waiting.append(pod)
                    continue
                }
                let id = FetchID(rawValue: makeID())
                waiting.append(pod)
                let fetch = pods[pod]?.startFetch(id, now: now) { key, federated in
                    key.pace(with: federated).map { !spaced.contains($0) } ?? true
                }
                guard let fetch else { continue }
                runningCount += 1
                outbox.jobs.append(.token(fetch))
                hasProgress = true
            }
            readyPods = waiting
        }
        if spaced.isEmpty { pacedUntil = nil } else { startSpacedFetches(now: now) }
    }

    /// Whether the limit of all pods allows one more fetch of this one. The first fetch of a pod needs no room, so that no set of
    /// slow pods keeps it from its token.
    func mayRunAnother(of shard: PodShard) -> Bool {
        runningCount < configuration.fetchesInTotal || shard.running.isEmpty
    }

    mutating func progressed(_ fetch: TokenFetch, _ progress: FetchProgress, now: Instant) {
        count(progress)
        if case .setback(let failure) = progress { learn(fromRepeated: failure, of: fetch, now: now) }
        guard pods[fetch.key.pod]?.slots[fetch.key]?.fetch == .running(fetch.id) else { return }
        pods[fetch.key.pod]?.slots[fetch.key]?.progressed(progress)
    }

    mutating func count(_ progress: FetchProgress) {
        if case .setback(let failure) = progress { counters.retries[failure.upstream, default: 0] += 1 }
    }

    /// The result of a fetch, or the end of its time. `false` when no caller is left to have it, or when the fetch goes
    /// on and has told its callers nothing.
    mutating func settle(
        _ fetch: TokenFetch, _ result: Result<MintedToken, UpstreamFailure>, now: Instant
    ) -> Bool {
        let settlement =
            pods[fetch.key.pod]?.settle(fetch, result, now: now, counters: &counters, outbox: &outbox) ?? .discarded
        learn(from: fetch, result, now: now)
        if case .repeated = settlement {
            if case .failure(let failure) = result { count(.setback(failure)) }
        } else {
            counters.tokenFetches[Self.outcome(result, isWanted: settlement != .discarded), default: 0] += 1
        }
        startFetches(ofReady: fetch.key.pod, now: now)
        return settlement == .ended || settlement == .held
    }

    /// The fetch holds no connection and no task any more.
    mutating func release(_ fetch: TokenFetch, now: Instant) {
        runningCount -= 1
        pods[fetch.key.pod]?.running.remove(fetch.id)
        if pods[fetch.key.pod]?.canStartFetch == true, !readyPods.contains(fetch.key.pod) {
            readyPods.append(fetch.key.pod)
        }
        startFetches(now: now)
    }

    /// The stage that a fetch without a result is in, for the failure that its deadline makes of it.
    func stage(of fetch: TokenFetch) -> FetchStage {
        pods[fetch.key.pod]?.slots[fetch.key]?.stage ?? .queue
    }

    static func outcome<Value>(
        _ result: Result<Value, UpstreamFailure>, isWanted: Bool
    ) -> TokenCounters.FetchOutcome {
        guard isWanted else { return .discarded }
        return switch result {
        case .success: .succeeded
        case .failure(let failure): .failed(failure.kind)
        }
    }
}
