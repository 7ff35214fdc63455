package import Attribution

/// The token service's holdings for one pod, in numbers.
package struct PodHoldings: Sendable, Hashable {
    package var accessTokens = 0
    package var identityTokens = 0
    package var federatedTokens = 0
    package var podTokens = 0
    package var cloudCredentials = 0
    /// Requests that wait, for tokens and for the ServiceAccount.
    package var waiting = 0
    /// Fetches without a result, those of federated tokens not counted.
    package var fetches = 0

    package init() {}

    fileprivate var tokens: Int {
        accessTokens + identityTokens + federatedTokens + podTokens + cloudCredentials
    }

    /// Takes the greater number of each kind.
    fileprivate mutating func formMaximum(_ other: PodHoldings) {
        accessTokens = max(accessTokens, other.accessTokens)
        identityTokens = max(identityTokens, other.identityTokens)
        federatedTokens = max(federatedTokens, other.federatedTokens)
        podTokens = max(podTokens, other.podTokens)
        cloudCredentials = max(cloudCredentials, other.cloudCredentials)
        waiting = max(waiting, other.waiting)
        fetches = max(fetches, other.fetches)
    }
}

/// The sizes of the token service's tables.
package struct TokenCensus: Sendable, Hashable {
    /// Tokens of all pods, those that are being fetched or have failed included.
    package var tokens = 0
    package var serviceAccounts = 0
    package var paces = 0
    /// Pods that went a moment ago.
    package var departedPods = 0
    /// The most of each kind that one pod has.
    package var most = PodHoldings()

    package init() {}
}

/// A quota that refused calls, for which the token service keeps a pace.
package struct PacedQuota: Sendable, Hashable {
    package var upstream: UpstreamFailure.Upstream
    /// `nil` where the quota is that of all pods.
    package var target: TokenKey.Target?
    /// Whether calls wait for each other. Where they do not, refreshes alone still do.
    package var isSpacing: Bool
}

extension TokenService {
    /// The sizes of all tables: cheaper than a ``snapshot()``.
    package func census() -> TokenCensus { read { $0.census } }

    /// The numbers of one pod.
    package func holdings(of pod: PodUID) -> PodHoldings { read { $0.holdings(of: pod) } }

    /// The quotas that have a pace at present, in no order.
    package func pacedQuotas() -> [PacedQuota] {
        let now = clock.now
        return read { $0.pacedQuotas(at: now) }
    }
}

extension TokenTable {
    var census: TokenCensus {
        var census = TokenCensus()
        // Shards are looked at in their place: to copy one costs more than to count it.
        for place in pods.values.indices {
            let holdings = pods.values[place].holdings
            census.tokens += holdings.tokens
            census.most.formMaximum(holdings)
        }
        census.serviceAccounts = serviceAccounts.count
        census.paces = paces.count
        census.departedPods = forgottenPods.count
        return census
    }

    func holdings(of pod: PodUID) -> PodHoldings {
        guard let place = pods.index(forKey: pod) else { return PodHoldings() }
        return pods.values[place].holdings
    }

    func pacedQuotas(at now: Instant) -> [PacedQuota] {
        paces.map { key, pace in
            PacedQuota(upstream: key.upstream, target: key.target, isSpacing: pace.isSpacing(at: now))
        }
    }
}

extension PodShard {
    fileprivate var holdings: PodHoldings {
        var holdings = PodHoldings()
        for key in slots.keys {
            switch key.kind {
            case .accessToken: holdings.accessTokens += 1
            case .identityToken: holdings.identityTokens += 1
            case .federation: holdings.federatedTokens += 1
            case .podToken: holdings.podTokens += 1
            case .cloudCredential: holdings.cloudCredentials += 1
            }
        }
        holdings.waiting = waiting
        holdings.fetches = pendingFetches
        return holdings
    }
}
