import Attribution
import Tokens

/// Decides which warnings become requests: one Event for each pod and reason, counted up at most every 10 minutes, and
/// not more than a bucket holds for the whole node.
struct EventLedger: Sendable {
    typealias Instant = ContinuousClock.Instant

    struct Key: Sendable, Hashable {
        var pod: PodUID
        var reason: PodWarning.Reason
    }

    /// An Event that exists.
    struct Series: Sendable, Equatable {
        /// `metadata.name`; `nil` while it is being created.
        var name: String?
        /// Occurrences so far, and those that the API server knows of.
        var count: Int
        var sentAt: Instant
    }

    enum Decision: Sendable, Equatable {
        case create
        /// Brings the Event's count up to date.
        case update(name: String, count: Int)
        /// The same again, too soon to tell.
        case suppress
        /// The node told enough for now.
        case drop
    }

    /// The time between two requests for the same Event. Kubernetes keeps Events for an hour.
    static let interval = Duration.seconds(600)
    /// Pods times reasons that are remembered: more than a node can have at fault at once.
    static let limit = 1024
    /// Requests at once, and how long one takes to come back.
    static let burst = 25.0
    static let refill = Duration.seconds(10)

    private(set) var series: [Key: Series] = [:]
    /// `nil`: nothing was taken yet.
    private var bucket: RateBucket?

    /// Decides about one occurrence at `now`.
    mutating func note(_ key: Key, now: Instant) -> Decision {
        if var known = series[key] {
            known.count += 1
            guard let name = known.name, now - known.sentAt >= Self.interval, takeCredit(now) else {
                series[key] = known
                return .suppress
            }
            known.sentAt = now
            series[key] = known
            return .update(name: name, count: known.count)
        }
        if series.count >= Self.limit { forgetOldest() }
        guard takeCredit(now) else { return .drop }
        series[key] = Series(name: nil, count: 1, sentAt: now)
        return .create
    }

    mutating func created(_ key: Key, name: String) {
        series[key]?.name = name
    }

    /// The request failed, or the Event is gone: the next occurrence makes a new one.
    mutating func forget(_ key: Key) {
        series[key] = nil
    }

    private mutating func takeCredit(_ now: Instant) -> Bool {
        var bucket = bucket ?? RateBucket(rate: .seconds(1) / Self.refill, burst: Self.burst, now: now)
        defer { self.bucket = bucket }
        return bucket.take(at: now) == nil
    }

    private mutating func forgetOldest() {
        if let oldest = series.min(by: { $0.value.sentAt < $1.value.sentAt }) { series[oldest.key] = nil }
    }
}
