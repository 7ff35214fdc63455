/// Limits and times of the token service. Every default comes with its reason.
package struct TokenServiceConfiguration: Sendable, Hashable {
    /// The times at which tokens are refreshed and how long they are served.
    package struct TokenPolicy: Sendable, Hashable {
        /// A used token with less than this left is refreshed in the background. 10 minutes.
        package var refreshRemaining: Duration = .seconds(600)
        /// The same as a part of its life, whichever is more: 12 minutes of an hour.
        package var refreshFraction = 0.2
        /// The refresh starts up to this part of the life earlier, at random, so that pods that started together
        /// do not refresh together (Google STS: 6,000 exchanges a minute and project). 3 minutes of an hour.
        package var refreshSpread = 0.05
        /// The life that every caller gets at least while upstream works: .NET fetches again on every call below 6
        /// minutes.
        package var guaranteedRemaining: Duration = .seconds(360)
        /// The life down to which a token is served while upstream fails: no call in flight meets an expired token.
        package var lastResortRemaining: Duration = .seconds(60)
        package var failures = FailurePolicy(
            finalFailure: .seconds(10),
            transientFailure: .seconds(1),
            rateLimited: .seconds(5),
            longestRetryAfter: .seconds(60),
            firstRefreshPause: .seconds(5),
            longestRefreshPause: .seconds(60),
            finalFailureDiscardsValue: false
        )

        package init(
            refreshRemaining: Duration = .seconds(600), refreshFraction: Double = 0.2, refreshSpread: Double = 0.05,
            guaranteedRemaining: Duration = .seconds(360)
        ) {
            self.refreshRemaining = refreshRemaining
            self.refreshFraction = refreshFraction
            self.refreshSpread = refreshSpread
            self.guaranteedRemaining = guaranteedRemaining
        }
    }

    /// How old a ServiceAccount may be. A node may GET but not watch them, and a changed annotation must take
    /// effect within 2 seconds.
    package struct ServiceAccountPolicy: Sendable, Hashable {
        /// A use of an older record reads it again in the background.
        package var refreshAge: Duration = .seconds(1)
        /// A use of an older record waits for a new one, as long as the API server answers.
        package var awaitAge: Duration = .seconds(2)
        /// The age up to which the last record serves while the API server does not answer. A credential that is valid
        /// and cached is served to its end, and none is made without the API server.
        package var lastResortAge: Duration = .seconds(3600)
        package var failures = FailurePolicy(
            finalFailure: .seconds(2),
            transientFailure: .seconds(1),
            rateLimited: .seconds(2),
            longestRetryAfter: .seconds(10),
            firstRefreshPause: .seconds(1),
            longestRefreshPause: .seconds(5),
            finalFailureDiscardsValue: true
        )
    }

    package var tokens = TokenPolicy()
    /// A pod token is handed over once, and then used by a party that cannot renew it. So more of it has to be left
    /// than of an access token: 10 minutes while the API server works, and it is replaced after 70 % of its life.
    package var podTokens = TokenPolicy(refreshFraction: 0.3, guaranteedRemaining: .seconds(600))
    /// The policy of each cloud, as its token service wants it.
    var cloudCredentials: [CloudName: TokenPolicy] = [:]
    package var serviceAccounts = ServiceAccountPolicy()

    /// How long one metadata request may wait in all. Google's Python client gives up after 3 s: the answer has to
    /// arrive before.
    package var waitLimit = ClientWait.limit
    /// The part of it that may pass in reading a ServiceAccount again, after which the cached record is served; a read
    /// takes about 3 ms.
    package var serviceAccountWaitLimit: Duration = .milliseconds(700)
    /// A fetch still without a result after this has failed, whatever its upstream does. Far above the adapters' own
    /// timeouts: it catches what they miss.
    package var fetchDeadline: Duration = .seconds(15)
    /// Repetitions of upstream calls within one fetch start no later than this after the fetch began: within what a
    /// caller waits, because several clients repeat nothing themselves.
    package var retryBudget: Duration = .seconds(2)
    /// The first pause before a repetition, halved at most by jitter; it doubles each time.
    package var retryPause: Duration = .milliseconds(100)
    /// Calls of one upstream step in one fetch, the first included.
    package var attemptsPerStep = 5

    /// Fetches of one pod that run at the same time.
    package var fetchesPerPod = 8
    /// Fetches of one pod that may wait behind those.
    package var queuedFetchesPerPod = 32
    /// Fetches of all pods that run at the same time. The first fetch of each pod runs regardless: pods with slow
    /// upstreams cannot keep another from its token, and the hard bound is this plus the number of pods.
    package var fetchesInTotal = 256
    /// Fetches that requests of one pod may cause, per second, and at once. A pod needs a handful an hour.
    package var fetchRatePerPod: Double = 10
    package var fetchBurstPerPod: Double = 20
    /// Cached access tokens of one pod: distinct scope sets. The least recently used makes room.
    package var accessTokensPerPod = 64
    /// Cached identity tokens of one pod: distinct audiences. The least recently used makes room.
    package var identityTokensPerPod = 64
    /// Cached pod tokens of one pod: as many audiences as can be configured.
    package var podTokensPerPod = 16
    /// Cached credentials of one pod for other clouds: distinct resources. The least recently used makes room.
    package var cloudCredentialsPerPod = 64
    /// Requests of one pod that wait for a fetch.
    package var waitersPerPod = 256
    /// How calls are spaced after an upstream refused one because there were too many; `nil`: not at all.
    package var pacing: PacingPolicy? = PacingPolicy()
    /// How often what has expired is removed.
    package var sweepInterval: Duration = .seconds(30)

    package init() {}

    func policy(for key: TokenKey) -> TokenPolicy {
        switch (key.kind, key.target) {
        case (.cloudCredential, .cloud(let identity)): cloudCredentials[identity.cloud] ?? tokens
        case (.podToken, _): podTokens
        case (.accessToken, _), (.identityToken, _), (.federation, _), (.cloudCredential, _): tokens
        }
    }
}
