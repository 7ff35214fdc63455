/// A promise about one cached token: while it holds, a request for that token, of that pod and ServiceAccount, gets what it
/// got when the lease was given, down to the seconds that remain, and nothing is fetched for it.
///
/// It ends by itself when the remaining seconds fall or a refresh is due, so within a second. It ends at once with any
/// change of the token service whatever, be it about another pod: simple to be right about, and changes are few beside
/// requests.
package struct TokenLease: Sendable {
    let changes: UInt64
    let end: ContinuousClock.Instant
}

extension TokenLease {
    /// Whether its time is over. It may have ended before.
    package var hasEnded: Bool { ContinuousClock.now >= end }
}
