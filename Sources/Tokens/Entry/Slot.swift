import Attribution

/// A caller that waits for an entry. Its completion is called exactly once.
struct Waiter<Value: Sendable>: Sendable {
    let id: UInt64
    let pod: PodUID
    /// The time at which its client's request arrived.
    let since: ContinuousClock.Instant
    let completion: @Sendable (Result<Value, TokenFailure>) -> Void
}

/// One entry with its waiters and the fetch that is under way for it.
struct Slot<Value: Sendable>: Sendable {
    enum Fetch: Sendable, Equatable {
        case none
        /// Waits for the pod's federated token.
        case blocked
        /// Waits for room among the running fetches.
        case queued
        case running(FetchID)
    }

    var entry = RefreshingEntry<Value>()
    var fetch = Fetch.none
    /// The time at which the request arrived that caused the present fetch: its place in every queue.
    var waitingSince: ContinuousClock.Instant?
    private(set) var stage = FetchStage.queue
    /// Why the present step of the fetch had to be repeated, if it had.
    var setback: UpstreamFailure? { latestSetback?.value }
    private var latestSetback: Shared<UpstreamFailure>?
    private(set) var waiters: [Waiter<Value>] = []
    private(set) var lastUsedAt: ContinuousClock.Instant
    /// The slot's turn among the fetches that wait for the pod's federated token.
    var turn = 0
    /// Whether the present fetch has had the federated token renewed, which is done once.
    var hasRenewedFederation = false
    /// No request reaches this slot any more: the slot goes when its fetch has answered the last waiters.
    var isRetired = false

    init(now: ContinuousClock.Instant) {
        self.lastUsedAt = now
    }

    /// A slot with a fetch is never removed under its waiters, except when its pod goes.
    var isPinned: Bool { fetch != .none }

    /// Whether no request could get anything from it any more.
    func isSpent(at now: ContinuousClock.Instant) -> Bool { !isPinned && entry.isSpent(at: now) }

    mutating func use(at now: ContinuousClock.Instant) -> RefreshingEntry<Value>.RequestAction {
        lastUsedAt = now
        return entry.request(at: now)
    }

    mutating func progressed(_ progress: FetchProgress) {
        switch progress {
        case .stage(let stage):
            self.stage = stage
            latestSetback = nil
        case .setback(let failure):
            latestSetback = Shared(failure)
        }
    }

    mutating func append(_ waiter: Waiter<Value>) {
        waiters.append(waiter)
    }

    mutating func takeWaiters() -> [Waiter<Value>] {
        defer { waiters = [] }
        return waiters
    }

    mutating func takeWaiters(of pod: PodUID) -> [Waiter<Value>] {
        let taken = waiters.filter { $0.pod == pod }
        waiters.removeAll { $0.pod == pod }
        return taken
    }

    mutating func takeWaiter(_ id: UInt64) -> Waiter<Value>? {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return nil }
        return waiters.remove(at: index)
    }

    func isWaiting(_ id: UInt64) -> Bool {
        waiters.contains { $0.id == id }
    }
}
