import Attribution

extension TokenTable {
    /// A fetch that could start now, were it not for the pace.
    private struct Candidate {
        var pod: PodUID
        var key: TokenKey
        var pace: PaceKey
        /// The end of the token that is served meanwhile; `nil` where there is none.
        var end: Instant?
        /// Whether a request waits for it.
        var isAwaited: Bool
    }

    /// Paces the calls to STS from the first, where the operator has said what this node may count on.
    mutating func keepShare(now: Instant) {
        guard let policy = configuration.pacing, let share = policy.share(of: .securityTokenService) else { return }
        let key = PaceKey(upstream: .securityTokenService)
        guard paces[key] == nil else { return }
        paces[key] = ExchangePace(policy, share: share, now: now, jitter: jitter())
    }

    /// Learns from the end of a fetch.
    mutating func learn(from fetch: TokenFetch, _ result: Result<MintedToken, UpstreamFailure>, now: Instant) {
        guard let policy = configuration.pacing, let key = fetch.key.pace(with: fetch.federated) else { return }
        switch result {
        case .success:
            paces[key]?.succeeded(startedAt: fetch.startedAt)
        case .failure(let failure):
            guard failure.upstream == key.upstream else {
                if fetch.isSpaced { paces[key]?.returned() }
                return
            }
            if failure.kind == .unavailable { paces[key]?.failed(at: now) }
            guard failure.kind == .rateLimited else { return }
            let spread = jitter()
            paces[key, default: ExchangePace(policy, now: now)]
                .refused(failure, startedAt: fetch.startedAt, at: now, jitter: spread)
        }
    }

    /// Learns from a refusal after which the fetch calls once more, because the upstream named a moment. The fetch's end, which
    /// may be a success, says nothing of it.
    mutating func learn(fromRepeated failure: UpstreamFailure, of fetch: TokenFetch, now: Instant) {
        guard fetch.isSpaced, failure.kind == .rateLimited, let key = fetch.key.pace(with: fetch.federated),
            failure.upstream == key.upstream
        else { return }
        let spread = jitter()
        paces[key]?.refused(failure, startedAt: fetch.startedAt, at: now, jitter: spread)
    }

    /// Starts the queued fetches that the paces allow. Those of pods without a token come first, one of each pod after the other;
    /// then the refresh whose token ends first. Where the share is known, a refresh whose token would end comes before them all.
    mutating func startSpacedFetches(now: Instant) {
        pacedUntil = nil
        var ahead: [PaceKey: Int] = [:]
        for candidate in spacedFetches(now: now) {
            guard let pace = paces[candidate.pace], let shard = pods[candidate.pod], shard.canStartFetch,
                mayRunAnother(of: shard)
            else { continue }
            ahead[candidate.pace, default: 0] += 1
            var startsAt = pace.pauseEnd(at: now) ?? now
            if let end = candidate.end {
                let turn = ahead[candidate.pace, default: 1]
                if let left = reserve(of: candidate, turn, at: pace, now) { startsAt = max(startsAt, end - left) }
            }
            guard startsAt <= now else {
                if candidate.end != nil, candidate.isAwaited {
                    pods[candidate.pod]?.serveMeanwhile(candidate.key, now: now, outbox: &outbox)
                }
                pacedUntil = min(pacedUntil ?? startsAt, startsAt)
                continue
            }
            let id = FetchID(rawValue: makeID())
            let started = pods[candidate.pod]?.startFetch(id, now: now) { key, _ in key == candidate.key }
            guard var fetch = started else { continue }
            fetch.isSpaced = true
            let spread = jitter()
            paces[candidate.pace]?.started(at: now, jitter: spread)
            runningCount += 1
            outbox.jobs.append(.token(fetch))
            // The pod's next turn comes after those of all other pods.
            readyPods.removeAll { $0 == candidate.pod }
            readyPods.append(candidate.pod)
        }
        // In whole milliseconds, rounded up: no clock is so coarse that its sleeper wakes before this.
        if let moment = pacedUntil {
            pacedUntil = now + .milliseconds(Int64(((moment - now) / .milliseconds(1)).rounded(.up)))
        }
    }

    /// The rest of the token's use at which its refresh starts; `nil` where the refresh does not wait. `turn` is its place among
    /// the fetches of its pace.
    private func reserve(of candidate: Candidate, _ turn: Int, at pace: ExchangePace, _ now: Instant) -> Duration? {
        guard pace.defersRefreshes(at: now) else { return nil }
        let least = (configuration.pacing?.refreshRemaining ?? .zero) + pace.length(of: turn)
        // Google's clients take what is left. AWS's ask with every call once less than 15 minutes are left.
        guard case .cloud = candidate.pace.upstream else { return least }
        return candidate.isAwaited ? nil : max(least, configuration.policy(for: candidate.key).guaranteedRemaining)
    }

    private mutating func spacedFetches(now: Instant) -> [Candidate] {
        var (urgent, refreshes): ([(round: Int, candidate: Candidate)], [Candidate]) = ([], [])
        for pod in readyPods {
            guard let shard = pods[pod], shard.canStartFetch else { continue }
            var round = 0
            for fetch in shard.queue {
                guard let key = fetch.key.pace(with: fetch.federated), let pace = paces[key],
                    pace.isSpaced(at: now)
                else { continue }
                let (end, isAwaited) = shard.prospect(of: fetch.key, at: now)
                let candidate = Candidate(pod: pod, key: fetch.key, pace: key, end: end, isAwaited: isAwaited)
                if let end {
                    if pace.mustRenew(endingAt: end, at: now) {
                        urgent.append((-1, candidate))
                    } else {
                        refreshes.append(candidate)
                    }
                } else {
                    urgent.append((round, candidate))
                    round += 1
                }
                // Once for each wait: a change copies the pod's slots.
                if let refusal = pace.refusal, shard.slots[fetch.key]?.setback == nil {
                    pods[pod]?.slots[fetch.key]?.progressed(.setback(refusal))
                }
            }
        }
        // The sort is stable: within a round the pods' turn decides.
        return urgent.sorted { $0.round < $1.round }.map(\.candidate)
            + refreshes.sorted { ($0.end ?? now) < ($1.end ?? now) }
    }

    /// Whether every planned wake is later than the next fetch may start, by a millisecond or more.
    var needsPacedWake: Bool {
        guard let pacedUntil else { return false }
        return pacedWakes.last.map { pacedUntil + .milliseconds(1) <= $0 } ?? true
    }

    /// Plans a wake, and returns when the caller is to wake; `nil` where a planned one is early enough.
    mutating func takePacedWake() -> Instant? {
        guard needsPacedWake, let pacedUntil else { return nil }
        pacedWakes.append(pacedUntil)
        return pacedUntil
    }

    /// Starts the fetches whose moment in the pace has come, for the caller that wakes at `moment`.
    mutating func continueSpacedFetches(at moment: Instant, now: Instant) {
        pacedWakes.removeAll { $0 == moment }
        startFetches(now: now)
    }
}

extension PodShard {
    /// Whether the fetch goes on after `failure`, at the pace of its upstream.
    func isPaced(_ fetch: TokenFetch, after failure: UpstreamFailure) -> Bool {
        configuration.pacing != nil && failure.kind == .rateLimited
            && failure.upstream == fetch.key.pace(with: fetch.federated)?.upstream
    }

    /// Answers the requests that wait for a refresh, which the pace defers, with the token that is left. Later ones get it at once.
    mutating func serveMeanwhile(_ key: TokenKey, now: Instant, outbox: inout Outbox) {
        for key in [key] + blocked(on: key) {
            guard let token = slots[key]?.entry.waitLimitReached(at: now) else { continue }
            let waiters = slots[key]?.takeWaiters() ?? []
            waiting -= waiters.count
            for waiter in waiters { outbox.answer(waiter, .success(token)) }
        }
    }

    /// The tokens whose fetches wait for this federated one, in the order in which they began to wait.
    private func blocked(on key: TokenKey) -> [TokenKey] {
        guard key.kind == .federation else { return [] }
        let blocked = slots.filter { $0.value.fetch == .blocked && $0.key.federation == key }
        return blocked.sorted { $0.value.turn < $1.value.turn }.map(\.key)
    }

    /// Puts a fetch back that its upstream refused because there were too many. Its callers are answered at once.
    /// The fetch stays in the queue, so that the pod's token does not depend on when the pod asks again.
    mutating func hold(_ fetch: TokenFetch, after failure: UpstreamFailure, now: Instant, outbox: inout Outbox) {
        let pause = max(failure.retryAfter ?? .zero, configuration.tokens.failures.transientFailure)
        for key in [fetch.key] + blocked(on: fetch.key) {
            let waiters = slots[key]?.takeWaiters() ?? []
            waiting -= waiters.count
            let left = slots[key]?.entry.remaining(at: now)
            for waiter in waiters {
                outbox.answer(
                    waiter, left.map { .success($0) } ?? .failure(tokenFailure(failure, retryAfter: pause, key: key)))
            }
        }
        enqueue(fetch.key, federated: fetch.federated, now: now)
        slots[fetch.key]?.progressed(.setback(failure))
    }

    /// The first end among the tokens that this fetch renews, and whether a request waits for one of them.
    ///
    /// The tokens are its own one, or those that wait for the federated token. The end is `nil` where there is nothing to serve meanwhile.
    /// Every start of a fetch asks it of each queued one, and most of them are for a federated token: it makes no list of those that wait.
    func prospect(of key: TokenKey, at now: Instant) -> (end: Instant?, isAwaited: Bool) {
        var isAwaited = slots[key]?.waiters.isEmpty == false
        guard key.kind == .federation else { return (slots[key]?.entry.servedUntil(at: now), isAwaited) }
        var (first, areServed): (Instant?, Bool) = (nil, true)
        for index in slots.indices where slots.values[index].fetch == .blocked && slots.keys[index].federation == key {
            isAwaited = isAwaited || !slots.values[index].waiters.isEmpty
            if let end = slots.values[index].entry.servedUntil(at: now) {
                first = min(first ?? end, end)
            } else {
                areServed = false
            }
        }
        return (areServed ? first : nil, isAwaited)
    }
}

extension RefreshingEntry {
    fileprivate func servedUntil(at now: Instant) -> Instant? { remaining(at: now) == nil ? nil : endsAt }
}

/// The quota that a call takes from.
struct PaceKey: Hashable, Sendable {
    var upstream: UpstreamFailure.Upstream
    /// `nil` for STS, whose quota is that of the provider's project. Elsewhere a tenant's own account, role or project may be what is
    /// refused, which must slow no other pod.
    var target: TokenKey.Target?
    var quotaProject: String?
}

extension TokenKey {
    /// The quota that a fetch of this token takes from. A pod token is the API server's, which says itself when to come again.
    func pace(with federated: MintedToken?) -> PaceKey? {
        switch (kind, target) {
        case (.podToken, _): nil
        case (_, .cloud(let identity)): PaceKey(upstream: .cloud(identity.cloud), target: target)
        case (_, .googleServiceAccount) where federated != nil:
            PaceKey(upstream: .iamCredentials, target: target, quotaProject: quotaProject)
        default: PaceKey(upstream: .securityTokenService)
        }
    }
}
