/// Three moments in the life of a held value. Each is no later than the next.
struct Freshness: Sendable, Equatable {
    typealias Instant = ContinuousClock.Instant

    /// The time from which a use starts a refresh in the background.
    var refreshAt: Instant
    /// The time from which a use waits for the refresh, as long as refreshing works.
    var awaitAt: Instant
    /// The time from which the value is not served, whatever happens to the refresh.
    var endsAt: Instant
    /// Whether uses wait for an attempt that is due after failures, as they would without them. Right for what an
    /// upstream says of the present: the failures may be long over, and the value is as old.
    var awaitsAfterFailures = false

    init(refreshAt: Instant, awaitAt: Instant, endsAt: Instant) {
        self.refreshAt = refreshAt
        self.awaitAt = awaitAt
        self.endsAt = endsAt
    }

    /// Freshness of a token. `jitter` in `0..<1` spreads the refreshes of tokens that were minted together.
    ///
    /// Every distance from the end is also limited to a part of the life: a token that arrives with little life is
    /// used for most of it instead of being fetched again on each request.
    init(of token: MintedToken, policy: TokenServiceConfiguration.TokenPolicy, jitter: Double) {
        let life = token.expiresAt - token.issuedAt
        let refresh =
            max(policy.refreshRemaining, life * policy.refreshFraction) + life * (policy.refreshSpread * jitter)
        self.refreshAt = token.expiresAt - min(refresh, life * 0.8)
        self.awaitAt = token.expiresAt - min(policy.guaranteedRemaining, life * 0.5)
        self.endsAt = token.expiresAt - min(policy.lastResortRemaining, life * 0.1)
    }

    /// Freshness of a ServiceAccount read at `instant`.
    init(ofServiceAccountReadAt instant: Instant, policy: TokenServiceConfiguration.ServiceAccountPolicy) {
        self.refreshAt = instant + policy.refreshAge
        self.awaitAt = instant + policy.awaitAge
        self.endsAt = instant + policy.lastResortAge
        self.awaitsAfterFailures = true
    }
}
