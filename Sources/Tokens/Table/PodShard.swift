import Attribution

/// Everything that the token service holds for one pod: its tokens, its waiters, its fetches and its limits.
///
/// Nothing in here depends on another pod, so nothing another pod does can change an answer.
struct PodShard: Sendable {
    typealias Instant = ContinuousClock.Instant

    struct QueuedFetch: Sendable {
        var key: TokenKey
        var federated: MintedToken?
        var waitingSince: Instant
    }

    private let shared: Shared<TokenServiceConfiguration>
    var configuration: TokenServiceConfiguration { shared.value }
    let jitter: JitterSource

    var record: PodRecord
    /// The tokens' slots: at most `accessTokensPerPod` + `identityTokensPerPod` + `podTokensPerPod` +
    /// `cloudCredentialsPerPod`, and one federated token per ServiceAccount UID seen.
    var slots: [TokenKey: Slot<MintedToken>] = [:]
    /// Requests that wait, for tokens and for the ServiceAccount.
    var waiting = 0
    /// Fetches that waiters and refreshes caused and that have no result yet: running, queued and blocked.
    var pendingFetches = 0
    /// Counts the fetches that had to wait for a federated token.
    var lastTurn = 0
    /// Ready to run, oldest first. Bounded with `pendingFetches`.
    var queue: [QueuedFetch] = []
    var running: Set<FetchID> = []
    var bucket: RateBucket

    init(
        _ record: PodRecord, configuration: Shared<TokenServiceConfiguration>, jitter: @escaping JitterSource,
        now: Instant
    ) {
        self.record = record
        self.shared = configuration
        self.jitter = jitter
        self.bucket = RateBucket(
            rate: configuration.value.fetchRatePerPod, burst: configuration.value.fetchBurstPerPod, now: now)
    }

    // MARK: Requests

    /// The token, if it can be served without waiting. Starts the refresh that is due.
    mutating func cachedToken(
        _ key: TokenKey, for pod: PodRecord, now: Instant, counters: inout TokenCounters, outbox: inout Outbox
    ) -> MintedToken? {
        switch slots[key]?.use(at: now) {
        case .serve(let token)?:
            counters.hits += 1
            return token
        case .serveAndFetch(let token)?:
            counters.hits += 1
            refreshInBackground(key, for: pod, now: now, counters: &counters, outbox: &outbox)
            return token
        case .join?, .fetch?, .fail?, nil:
            return nil
        }
    }

    /// Answers `waiter` now or keeps it; returns whether it waits.
    mutating func requestToken(
        _ key: TokenKey, for pod: PodRecord, waiter: Waiter<MintedToken>, now: Instant,
        counters: inout TokenCounters, outbox: inout Outbox
    ) -> Bool {
        switch slots[key]?.use(at: now) ?? .fetch {
        case .serve(let token):
            counters.hits += 1
            outbox.answer(waiter, .success(token))
        case .serveAndFetch(let token):
            counters.hits += 1
            refreshInBackground(key, for: pod, now: now, counters: &counters, outbox: &outbox)
            outbox.answer(waiter, .success(token))
        case .fail(let failure, let retryAfter):
            counters.rememberedFailures += 1
            outbox.answer(waiter, .failure(tokenFailure(failure, retryAfter: retryAfter, key: key)))
        case .join:
            if let refusal = refusalToWait() {
                counters.limited += 1
                outbox.answer(waiter, .failure(refusal))
            } else {
                counters.joins += 1
                slots[key]?.append(waiter)
                waiting += 1
                return true
            }
        case .fetch:
            if let refusal = refusalToWait() ?? admitFetch(of: key, now: now, counters: &counters) {
                counters.limited += 1
                // A limit must not take away what the pod has.
                outbox.answer(waiter, slots[key]?.entry.remaining(at: now).map { .success($0) } ?? .failure(refusal))
            } else {
                counters.misses += 1
                record = pod
                slots[key, default: Slot(now: now)].append(waiter)
                waiting += 1
                beginFetch(of: key, since: waiter.since, now: now, counters: &counters, outbox: &outbox)
                return slots[key]?.isWaiting(waiter.id) ?? false
            }
        }
        return false
    }

    mutating func refreshInBackground(
        _ key: TokenKey, for pod: PodRecord, now: Instant, counters: inout TokenCounters, outbox: inout Outbox
    ) {
        guard admitFetch(of: key, now: now, counters: &counters) == nil else { return }
        counters.backgroundRefreshes += 1
        record = pod
        if slots[key] == nil { slots[key] = Slot(now: now) }
        beginFetch(of: key, since: now + configuration.waitLimit, now: now, counters: &counters, outbox: &outbox)
    }
}

extension UpstreamFailure {
    /// The failure as it is handed to callers: `retryAfter` says when the service itself will ask again.
    func repeatable(after pause: Duration) -> UpstreamFailure {
        var failure = self
        failure.retryAfter = kind.isFinal ? nil : pause
        return failure
    }
}
