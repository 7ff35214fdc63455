package import Attribution

/// The phase of a cache entry.
package enum TokenEntryState: String, Sendable, Hashable, CaseIterable {
    case empty, fetching, fresh, refreshing, failed
}

/// One cache entry for the debug dump. It names everything but the token.
package struct TokenEntrySnapshot: Sendable, Hashable {
    package var pod: PodUID
    package var account: ServiceAccountReference
    package var target: TokenKey.Target
    package var kind: TokenKey.Kind
    package var quotaProject: String?
    /// `empty`, `fetching`, `fresh`, `refreshing` or `failed`.
    package var state: String
    /// The time since the held token was minted.
    package var age: Duration?
    /// The time until the held token ends; negative once it has.
    package var remaining: Duration?
    /// Requests that wait for the entry.
    package var waiters: Int
    /// The upstream step that a fetch under way is in.
    package var stage: String?
    package var lastFailure: UpstreamFailure?

    package init(
        pod: PodUID,
        account: ServiceAccountReference,
        target: TokenKey.Target,
        kind: TokenKey.Kind,
        quotaProject: String? = nil,
        state: String,
        age: Duration? = nil,
        remaining: Duration? = nil,
        waiters: Int = 0,
        stage: String? = nil,
        lastFailure: UpstreamFailure? = nil
    ) {
        self.pod = pod
        self.account = account
        self.target = target
        self.kind = kind
        self.quotaProject = quotaProject
        self.state = state
        self.age = age
        self.remaining = remaining
        self.waiters = waiters
        self.stage = stage
        self.lastFailure = lastFailure
    }
}
