/// A token on its way to a pod.
package struct ServedToken: Sendable, Hashable {
    package var token: SecretToken
    /// Whole seconds that remain of the token's life, rounded down, at least 1. For one token the number only falls.
    package var expiresIn: Int

    package init(token: SecretToken, expiresIn: Int) {
        self.token = token
        self.expiresIn = expiresIn
    }
}

/// A token as the service keeps it: its life in monotonic time, so that no step of the wall clock moves it.
struct MintedToken: Sendable, Equatable {
    var token: SecretToken
    /// The time just before the request for it was sent: a little early, so that an end counted from it is never late.
    var issuedAt: ContinuousClock.Instant
    var expiresAt: ContinuousClock.Instant
    /// The ``SubjectToken/id`` of the JWT that this is or was exchanged for.
    var subjectID: String?

    func served(at now: ContinuousClock.Instant) -> ServedToken {
        // Go's clients take 0 for an incomplete token.
        ServedToken(token: token, expiresIn: max(1, Int((expiresAt - now).components.seconds)))
    }

    /// The time at which the number of seconds that are served falls.
    func nextSecond(after now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        expiresAt - .seconds((expiresAt - now).components.seconds)
    }

    func upstreamToken(at now: ContinuousClock.Instant) -> UpstreamToken {
        UpstreamToken(token: token, lifetime: expiresAt - now)
    }
}
