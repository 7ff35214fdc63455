/// The pace of a node that was told its share of a quota.
///
/// Where every node needs all that it may have, each keeps to its share, and the quota is used up without a refusal. Where others need
/// less, a node borrows what they leave: it goes faster with successes, and gives half of the pace back at a refusal. A quota that is
/// smaller than the operator believes shows itself in refusals at the share's own pace, which then slows down.
struct QuotaShare: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Each success multiplies the pace by this.
    private static let growth = 1.35
    /// The most, of which four refusals leave the share.
    private static let most = 16.0
    /// A refusal leaves so much of the pace, and no less than the share.
    private static let kept = 0.5
    /// The time after a refusal for which the pace does not grow, on average.
    private static let abstinence = Duration.seconds(60)
    /// Refusals in a row, at the share's own pace, before a node slows down by this, until a success.
    private static let refusalsToSlow = 2
    private static let slowing = 1.5

    /// The time of one call at the share's own pace.
    private let interval: Duration
    /// Calls for each of the share.
    private var borrowed = 1.0
    /// The refusals at the share's own pace, since the latest success.
    private var refusals = 0
    private var borrowsFrom: Instant?

    init(interval: Duration) { self.interval = interval }

    var pause: Duration { interval * ((refusals >= Self.refusalsToSlow ? Self.slowing : 1) / borrowed) }

    /// How far an idle node's unused calls may reach back: a pod that starts alone gets its token at once. At any pace they are the
    /// same number of calls.
    var allowance: Duration { span / borrowed }

    /// The time in which a node that makes no call loses what it has borrowed, because others may have taken it.
    private var span: Duration { max(interval, .seconds(60)) }

    /// Takes back what was borrowed if the next call was due so long ago.
    mutating func rested(since due: Instant, at now: Instant) {
        if now - due >= span { borrowed = 1 }
    }

    mutating func succeeded(at now: Instant) {
        refusals = 0
        if borrowsFrom.map({ $0 <= now }) ?? true { borrowed = min(borrowed * Self.growth, Self.most) }
    }

    /// An upstream that does not answer has no room for more than the share.
    mutating func failed(at now: Instant) {
        borrowed = max(1, borrowed * Self.kept)
        borrowsFrom = now + Self.abstinence
    }

    /// `jitter` in `0..<1` keeps nodes from borrowing again together.
    mutating func refused(at now: Instant, jitter: Double) {
        if borrowed > 1 { borrowed = max(1, borrowed * Self.kept) } else { refusals += 1 }
        borrowsFrom = now + Self.abstinence * (0.5 + jitter)
    }
}
