package import Attribution

/// A credential of another cloud, as the metadata server asks for it.
package struct CloudCredential: Sendable, Hashable {
    package var identity: CloudIdentity
    /// The scopes or the resource that the credential is for; empty where the cloud does not ask.
    package var resource: String

    package init(identity: CloudIdentity, resource: String = "") {
        self.identity = identity
        self.resource = resource
    }
}

extension TokenService {
    /// A credential that can be served at once. Starts the refresh that is due.
    package func cachedCredential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> ServedToken? {
        cachedToken(TokenKey(pod: pod.uid, account: account, credential: credential), for: pod, account: account)
    }

    package func lease(
        on credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenLease? {
        lease(on: TokenKey(pod: pod.uid, account: account, credential: credential), for: pod, account: account)
    }

    /// The cached credential, or a new one. Waits at most `waitLimit`.
    package func credential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) async throws(TokenFailure) -> ServedToken {
        let key = TokenKey(pod: pod.uid, account: account, credential: credential)
        return try await answer { completion in
            requestToken(key, for: pod, account: account, completion: completion)
        }
    }

    /// Begins to fetch the credential, if it is neither here nor on its way. No caller waits for it.
    package func prepare(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) {
        guard account.isUsed(by: pod) else { return }
        let key = TokenKey(pod: pod.uid, account: account, credential: credential)
        update(ending: .of(pod.uid), onlyIfWorkFollows: true) { table, now in
            table.prepareToken(key, for: pod, now: now)
        }
    }

    /// Why the credential cannot be had, while that is remembered.
    package func rememberedFailure(
        of credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenFailure? {
        let key = TokenKey(pod: pod.uid, account: account, credential: credential)
        let now = clock.now
        return read { table in
            guard let shard = table.pods[pod.uid],
                case .fail(let failure, let retryAfter)? = shard.slots[key]?.entry.request(at: now)
            else { return nil }
            return shard.tokenFailure(failure, retryAfter: retryAfter, key: key)
        }
    }

    /// Whether a valid credential is here, however little of its life is left.
    package func holds(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) -> Bool {
        let key = TokenKey(pod: pod.uid, account: account, credential: credential)
        let now = clock.now
        return read { table in table.pods[pod.uid]?.slots[key]?.entry.remaining(at: now) != nil }
    }
}

extension TokenTable {
    /// Starts the fetch that a request would start and wait for.
    mutating func prepareToken(_ key: TokenKey, for pod: PodRecord, now: Instant) {
        guard refusal(for: pod.uid, now: now) == nil else { return }
        addShard(for: pod, now: now)
        pods[pod.uid]?.prepareToken(key, for: pod, now: now, counters: &counters, outbox: &outbox)
        startFetches(ofReady: pod.uid, now: now)
    }
}

extension PodShard {
    mutating func prepareToken(
        _ key: TokenKey, for pod: PodRecord, now: Instant, counters: inout TokenCounters, outbox: inout Outbox
    ) {
        switch slots[key]?.use(at: now) ?? .fetch {
        case .serve, .join, .fail: break
        case .fetch, .serveAndFetch:
            refreshInBackground(key, for: pod, now: now, counters: &counters, outbox: &outbox)
        }
    }
}
