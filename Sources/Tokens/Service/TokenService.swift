package import Attribution
import Synchronization

/// Tokens for pods: cached per pod, fetched once however many ask, refreshed while they are used.
///
/// Nothing is fetched and no wait ends unless `run()` runs. Every method may be called from any thread; none blocks.
///
/// The order of a metadata request is `serviceAccount(of:)`, then a token for the record it returned. Each has a
/// synchronous form that answers from the cache or not at all, a form with a completion, and an asynchronous form.
package final class TokenService: Sendable {
    /// Called exactly once, on the caller's thread or on one of the service's, never with a lock held.
    package typealias Completion<Value> = @Sendable (Result<Value, TokenFailure>) -> Void

    let configuration: TokenServiceConfiguration
    let pipeline: MintingPipeline
    let clock: any TokenClock
    let observer: @Sendable (TokenFetchReport) -> Void
    let accountObserver: @Sendable (ServiceAccountFailureReport) -> Void
    let jobs: AsyncStream<FetchJob>
    /// Unbounded on its own; what goes in is bounded by the limits on running fetches.
    private let jobContinuation: AsyncStream<FetchJob>.Continuation
    let tokenDeadlinesChanged: AsyncStream<Void>
    private let tokenDeadlinesContinuation: AsyncStream<Void>.Continuation
    let serviceAccountDeadlinesChanged: AsyncStream<Void>
    private let serviceAccountDeadlinesContinuation: AsyncStream<Void>.Continuation
    let pacesChanged: AsyncStream<Void>
    private let pacesContinuation: AsyncStream<Void>.Continuation
    private let table: Mutex<TokenTable>
    /// How often the table was changed in a way that could show in an answer. Grows with the lock held.
    private let epochs = LeaseEpochs()
    private let leaseUses = Atomic<UInt64>(0)

    /// `observer` gets every token fetch that ended while a caller wanted its result, for audit;
    /// `accountObserver` of every ServiceAccount that could not be read. Neither may block. `jitter` gives numbers in
    /// `0..<1`.
    package init(
        configuration: TokenServiceConfiguration = TokenServiceConfiguration(),
        issuer: any SubjectTokenIssuing,
        accounts: any ServiceAccountReading,
        exchanger: any TokenExchanging,
        clouds: [any CloudCredentialExchanging] = [],
        clock: any TokenClock = SystemTokenClock(),
        jitter: @escaping JitterSource = { Double.random(in: 0..<1) },
        observer: @escaping @Sendable (TokenFetchReport) -> Void = { _ in },
        accountObserver: @escaping @Sendable (ServiceAccountFailureReport) -> Void = { _ in }
    ) {
        var configuration = configuration
        for cloud in clouds { configuration.cloudCredentials[cloud.cloud] = cloud.lifetimes }
        self.configuration = configuration
        self.pipeline = MintingPipeline(
            issuer: issuer, accounts: accounts, exchanger: exchanger,
            clouds: Dictionary(clouds.map { ($0.cloud, $0) }) { first, _ in first }, clock: clock, jitter: jitter,
            configuration: configuration)
        self.clock = clock
        self.observer = observer
        self.accountObserver = accountObserver
        (self.jobs, self.jobContinuation) = AsyncStream.makeStream()
        (self.tokenDeadlinesChanged, self.tokenDeadlinesContinuation) =
            AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (self.serviceAccountDeadlinesChanged, self.serviceAccountDeadlinesContinuation) =
            AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (self.pacesChanged, self.pacesContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.table = Mutex(TokenTable(configuration: configuration, jitter: jitter))
    }

    /// Lets `decide` change the table, then does what the table wants done, with the lock released.
    ///
    /// `leases` end; with `onlyIfWorkFollows` not where the decision merely noted a use.
    func update<Outcome: Sendable>(
        ending leases: EndedLeases = .all, onlyIfWorkFollows: Bool = false,
        _ decide: (inout TokenTable, ContinuousClock.Instant) -> Outcome
    ) -> Outcome {
        let (outcome, outbox, wakesTokens, wakesServiceAccounts, wakesPaces) = table.withLock { table in
            let hadTokenDeadlines = !table.tokenDeadlines.isEmpty
            let hadServiceAccountDeadlines = !table.serviceAccountDeadlines.isEmpty
            // Time is read under the lock, so that it never goes back from one decision to the next.
            let outcome = decide(&table, clock.now)
            let outbox = table.takeOutbox()
            if !onlyIfWorkFollows || !outbox.isEmpty { epochs.end(leases) }
            return (
                outcome, outbox,
                !hadTokenDeadlines && !table.tokenDeadlines.isEmpty,
                !hadServiceAccountDeadlines && !table.serviceAccountDeadlines.isEmpty,
                table.needsPacedWake
            )
        }
        if wakesTokens { tokenDeadlinesContinuation.yield() }
        if wakesServiceAccounts { serviceAccountDeadlinesContinuation.yield() }
        if wakesPaces { pacesContinuation.yield() }
        if !outbox.isEmpty { outbox.carryOut { jobContinuation.yield($0) } }
        return outcome
    }

    /// A look that changes nothing.
    func read<Outcome: Sendable>(_ look: (borrowing TokenTable) -> Outcome) -> Outcome {
        table.withLock { look($0) }
    }

    // MARK: Pods

    /// Drops everything of a pod that is gone: its tokens at once, its waiters with `podGone`. A fetch that is under
    /// way for it ends without effect.
    package func forget(_ pod: PodUID) {
        update { table, now in table.forget(pod, now: now) }
    }

    /// A caller that cannot wait any longer: its completion is called at once, with what it would get at the end of the
    /// wait, and its place is free. Does nothing when the answer has been given.
    package func abandon(_ wait: TokenWait) {
        update(ending: .of(wait.pod)) { table, now in table.end(wait, now: now) }
    }

    // MARK: Views

    /// Every cached token without the token, in no order, for the debug dump.
    package func snapshot() -> [TokenEntrySnapshot] {
        let now = clock.now
        return read { $0.snapshot(now: now) }
    }

    /// How many entries are in each state: cheaper than a ``snapshot()``, for metrics.
    package var entryStates: [TokenEntryState: Int] {
        read { $0.entryStates }
    }

    package var counters: TokenCounters {
        var counters = read { $0.counters }
        counters.hits += leaseUses.load(ordering: .relaxed)
        return counters
    }

    // MARK: Leases

    /// A lease on what `key` is answered with now; `nil` if no answer is cached, or it may change any moment.
    func lease(on key: TokenKey, for pod: PodRecord, account: ServiceAccountRecord) -> TokenLease? {
        guard account.isUsed(by: pod) else { return nil }
        return table.withLock { table in
            table.steadyEnd(of: key, for: pod, account: account, now: clock.now).map { end in
                TokenLease(changes: epochs.now(for: pod.uid), end: end)
            }
        }
    }

    /// Whether the lease holds. If it does, the caller gives the answer that it is about, which counts as a hit.
    package func use(_ lease: TokenLease) -> Bool {
        guard holds(lease) else { return false }
        leaseUses.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    /// Says whether the lease holds, for an answer that gives no token away.
    package func holds(_ lease: TokenLease) -> Bool {
        epochs.isNow(lease.changes) && clock.now < lease.end
    }
}
