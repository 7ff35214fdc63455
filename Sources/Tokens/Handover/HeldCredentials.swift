package import Attribution

/// The credentials that an agent holds, for its successor on the same node: tokens that live, and ServiceAccounts as they
/// were read.
///
/// Times are distances from the moment of the export. The successor counts them from the moment before it asked. An end is
/// then never later than it is, whatever the two processes know of each other's clocks.
package struct HeldCredentials: Sendable, Equatable {
    struct Token: Sendable, Equatable {
        var key: TokenKey
        /// The name of the pod for which the token was minted: another pod may have its UID by now.
        var podName: String
        var account: ServiceAccountReference
        var token: SecretToken
        /// The time since the token was minted; whole milliseconds, as below.
        var age: Duration
        /// The time until the token ends.
        var remaining: Duration
        var subjectID: String?
    }

    struct Account: Sendable, Equatable {
        var record: ServiceAccountRecord
        /// The time since the record was read.
        var age: Duration
    }

    var accounts: [Account] = []
    var tokens: [Token] = []

    /// No token of an upstream lives longer.
    static let longestLife = Duration.seconds(86_400)

    package var tokenCount: Int { tokens.count }
}

extension TokenService {
    /// The tokens and ServiceAccounts that are fit to serve now, in an order that depends on nothing else.
    package func heldCredentials() -> HeldCredentials {
        let now = clock.now
        return read { $0.heldCredentials(at: now) }
    }

    /// Takes over what a predecessor held, within every limit of this agent's own. A token is taken for a pod that `pod`
    /// knows from this agent's own watch. The pod has the name, and runs as the ServiceAccount, for which it was minted.
    ///
    /// - Parameters:
    ///   - held: The predecessor's credentials.
    ///   - askedAt: A moment before the predecessor was asked for them.
    ///   - pod: The record of a pod of this node; `nil` for any other.
    /// - Returns: The number of tokens that were taken over.
    package func adopt(
        _ held: HeldCredentials, askedAt: ContinuousClock.Instant, pod: (PodUID) -> PodRecord?
    ) -> Int {
        update { table, now in table.adopt(held, askedAt: askedAt, now: now, pod: pod) }
    }
}

extension TokenTable {
    func heldCredentials(at now: Instant) -> HeldCredentials {
        guard !isStopped else { return HeldCredentials() }
        var held = HeldCredentials()
        for (reference, slot) in serviceAccounts.sorted(by: { $0.key.description < $1.key.description }) {
            guard let record = slot.entry.remaining(at: now), let readAt = slot.entry.heldSince(configuration) else {
                continue
            }
            precondition(record.reference == reference, "a record is kept under its own name")
            held.accounts.append(.init(record: record, age: (now - readAt).roundedUp))
        }
        for (pod, shard) in pods.sorted(by: { $0.key < $1.key }) {
            let slots = shard.slots.filter { !$0.value.isRetired && $0.key.pod == pod }
            for (key, slot) in slots.sorted(by: { $0.key.order < $1.key.order }) {
                guard let token = slot.entry.remaining(at: now) else { continue }
                held.tokens.append(
                    .init(
                        key: key, podName: shard.record.name, account: ServiceAccountReference(of: shard.record),
                        token: token.token,
                        age: (now - token.issuedAt).roundedUp, remaining: (token.expiresAt - now).roundedDown,
                        subjectID: token.subjectID))
            }
        }
        return held
    }

    mutating func adopt(
        _ held: HeldCredentials, askedAt: Instant, now: Instant, pod known: (PodUID) -> PodRecord?
    ) -> Int {
        guard !isStopped else { return 0 }
        var references: Set<ServiceAccountReference> = []
        var count = 0
        for token in held.tokens {
            guard refusal(for: token.key.pod, now: now) == nil, let pod = known(token.key.pod),
                pod.uid == token.key.pod, pod.name == token.podName, pod.staticPodConfigHash == nil,
                !pod.phase.isTerminal, ServiceAccountReference(of: pod) == token.account
            else { continue }
            references.insert(token.account)
            let minted = MintedToken(
                token: token.token, issuedAt: askedAt - token.age, expiresAt: askedAt + token.remaining,
                subjectID: token.subjectID)
            guard minted.expiresAt > now else { continue }
            addShard(for: pod, now: now)
            if pods[pod.uid]?.adopt(minted, as: token.key, now: now) == true { count += 1 }
        }
        for account in held.accounts {
            let reference = account.record.reference
            guard references.contains(reference), serviceAccounts[reference] == nil else { continue }
            var slot = Slot<ServiceAccountRecord>(now: now)
            _ = slot.entry.fetchSucceeded(
                account.record,
                freshness: Freshness(
                    ofServiceAccountReadAt: askedAt - account.age, policy: configuration.serviceAccounts))
            serviceAccounts[reference] = slot
        }
        return count
    }
}

extension PodShard {
    /// Keeps a predecessor's token where there is none and the pod's limits have room; says whether it did.
    mutating func adopt(_ token: MintedToken, as key: TokenKey, now: Instant) -> Bool {
        guard slots[key] == nil, hasRoom(for: key) else { return false }
        var slot = Slot<MintedToken>(now: now)
        let policy = configuration.policy(for: key)
        _ = slot.entry.fetchSucceeded(token, freshness: Freshness(of: token, policy: policy, jitter: jitter()))
        slots[key] = slot
        return true
    }
}

extension RefreshingEntry {
    /// The time at which the held ServiceAccount was read: its freshness is counted from there.
    fileprivate func heldSince(_ configuration: TokenServiceConfiguration) -> Instant? {
        endsAt.map { $0 - configuration.serviceAccounts.lastResortAge }
    }
}

extension Duration {
    private var nanosecondsOfMillisecond: Int64 { components.attoseconds / 1_000_000_000 % 1_000_000 }
    fileprivate var roundedDown: Duration { self - .nanoseconds(nanosecondsOfMillisecond) }
    fileprivate var roundedUp: Duration {
        nanosecondsOfMillisecond == 0 ? self : roundedDown + .milliseconds(1)
    }
}
