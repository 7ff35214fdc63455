/// How an agent learns its share of a quota from refusals alone.
///
/// All nodes of a cluster share the quota of one project, and no node knows how many others there are. Each therefore pauses
/// between calls. The pause grows with a refusal and shrinks with a success, as TCP finds its share of a line. Calls that began
/// before it last grew do not count.
package struct PacingPolicy: Sendable, Hashable {
    /// The pause after a first refusal.
    package var firstPause: Duration = .milliseconds(500)
    /// The longest pause: a quota of 6,000 a minute, shared by 5,000 nodes, is a call in 50 s: nodes that wait somewhat less use all
    /// of it, and a few calls too many are refused.
    package var longestPause: Duration = .seconds(40)
    /// A refusal multiplies the pause by this, once for calls that ran together.
    package var growth = 2.0
    /// A success multiplies the pause by this, a second in a row by its square, and so on. A node that finds the quota free soon
    /// makes calls without a pause.
    package var shrink = 0.7
    /// The time after a refusal for which a refresh waits until `refreshRemaining` is left of its token's use, and for
    /// its turn: pods without a token, be they other nodes', need the quota more.
    package var pressure: Duration = .seconds(900)
    package var refreshRemaining: Duration = .seconds(60)
    /// The calls to STS that this node may count on in an hour: the quota divided by the nodes that share it. `nil`: the operator has
    /// not said.
    package var exchangesPerHour: Int?

    package init() {}

    /// The node's share of the quota of an upstream, where the operator has stated it.
    func share(of upstream: UpstreamFailure.Upstream) -> QuotaShare? {
        guard upstream == .securityTokenService, let exchangesPerHour, exchangesPerHour > 0 else { return nil }
        return QuotaShare(interval: .seconds(3_600) / exchangesPerHour)
    }
}

/// The present pace of an agent's calls to one upstream.
struct ExchangePace: Sendable {
    typealias Instant = ContinuousClock.Instant

    private let policy: PacingPolicy
    /// The share of the quota, where it is known. Then calls are always spaced.
    private var share: QuotaShare?
    /// Zero: calls are not spaced.
    private var learntPause = Duration.zero
    private var pause: Duration { share?.pause ?? learntPause }
    private var nextAt: Instant?
    private var successesInARow = 0
    /// The time at which the pause last grew: calls that began before say nothing about it by their ends.
    private var widenedAt: Instant?
    private var pressedUntil: Instant
    /// Why calls are spaced.
    private(set) var refusal: UpstreamFailure?

    init(_ policy: PacingPolicy, now: Instant) {
        self.policy = policy
        pressedUntil = now
    }

    /// The pace of a node with a known share.
    ///
    /// The first call comes at a random moment of the first interval: a fleet that starts at once keeps within the quota.
    init(_ policy: PacingPolicy, share: QuotaShare, now: Instant, jitter: Double) {
        self.init(policy, now: now)
        self.share = share
        nextAt = now + .milliseconds(Int64((share.pause * jitter / .milliseconds(1)).rounded(.up)))
    }

    /// Whether calls are spaced, or refreshes wait.
    func isSpaced(at now: Instant) -> Bool { pause > .zero || now < pressedUntil }

    /// Whether calls wait for each other.
    func isSpacing(at now: Instant) -> Bool { pause > .zero || pauseEnd(at: now) != nil }

    /// Whether refreshes leave the quota to pods without a token. Where the share is known, only after a refusal.
    func defersRefreshes(at now: Instant) -> Bool { share == nil || now < pressedUntil }

    /// Whether the latest refusal says nothing of the quota any more. A pace without calls has no success that ends it.
    func isOutdated(at now: Instant) -> Bool { share == nil && now >= pressedUntil && pauseEnd(at: now) == nil }

    /// The time at which the next call may start; `nil` means now.
    func pauseEnd(at now: Instant) -> Instant? {
        guard let nextAt, now < nextAt else { return nil }
        return nextAt
    }

    /// The time that so many calls take, one after the other.
    func length(of calls: Int) -> Duration { max(pause, policy.firstPause) * calls }

    /// A call started. `jitter` in `0..<1` keeps nodes from falling into step.
    mutating func started(at now: Instant, jitter: Double) {
        guard pause > .zero else { return }
        if let nextAt { share?.rested(since: nextAt, at: now) }
        // The unused share of an idle node counts for a while.
        let unused = share.map { max(nextAt ?? now, now - $0.allowance) } ?? now
        nextAt = unused + spread(jitter)
    }

    /// A call that had started came to its end before it reached the upstream, and took nothing of the share.
    mutating func returned() {
        guard let share, let due = nextAt else { return }
        nextAt = due - share.pause
    }

    /// Whether a refresh comes before pods without a token: its own token would end before its turn after them.
    func mustRenew(endingAt end: Instant, at now: Instant) -> Bool {
        share != nil && end - now <= policy.refreshRemaining + length(of: 1)
    }

    /// The pause in whole milliseconds, from a half of it to three halves.
    private func spread(_ jitter: Double) -> Duration {
        .milliseconds(Int64((pause * (0.5 + jitter) / .milliseconds(1)).rounded(.up)))
    }

    /// The upstream served a call that began at `startedAt`.
    mutating func succeeded(startedAt: Instant) {
        if share != nil {
            share?.succeeded(at: startedAt)
            refusal = nil
            return
        }
        guard isOfThisPause(startedAt) else { return }
        successesInARow += 1
        for _ in 0..<min(successesInARow, 8) { learntPause = learntPause * policy.shrink }
        if learntPause < policy.firstPause {
            learntPause = .zero
            (nextAt, refusal) = (nil, nil)
        }
    }

    /// The upstream did not answer a call, or not usably.
    mutating func failed(at now: Instant) { share?.failed(at: now) }

    /// The upstream refused a call that began at `startedAt`, because there were too many.
    ///
    /// Calls that run at the same moment are refused together, for one and the same excess. The first of these refusals makes
    /// the pause longer; the others began before it did.
    mutating func refused(_ failure: UpstreamFailure, startedAt: Instant, at now: Instant, jitter: Double) {
        if isOfThisPause(startedAt) {
            if share != nil {
                share?.refused(at: now, jitter: jitter)
            } else {
                learntPause = min(max(learntPause * policy.growth, policy.firstPause), policy.longestPause)
                successesInARow = 0
            }
            widenedAt = now
        }
        refusal = failure
        pressedUntil = now + policy.pressure
        let asked = min(failure.retryAfter ?? .zero, policy.longestPause)
        nextAt = max(nextAt ?? now, now + max(asked, spread(jitter)))
    }

    /// Whether a call that began at this moment was made at the present pause.
    private func isOfThisPause(_ startedAt: Instant) -> Bool { widenedAt.map { startedAt > $0 } ?? true }
}
