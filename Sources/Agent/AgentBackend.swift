import Attribution
import MetadataServer
import Tokens

/// What the HTTP front asks, answered by the attributor and the token service.
struct AgentBackend: MetadataBackend {
    let attributor: Attributor
    let tokens: TokenService
    let node: NodeInformation
    let attributions: AttributionCounters
    let callers: RecentCallers

    /// How long a request may wait for its pod's record. Well below the 3 s after which Google's clients give up.
    private static let holdLimit = Duration.seconds(2)

    var instance: InstanceAttributes { node.attributes }

    func identify(_ tag: CallerTag) -> Identification {
        let identification = attributor.identify(tag)
        attributions.count(identification, isFinal: false)
        return identification
    }

    func identifyHolding(_ tag: CallerTag) async -> Identification {
        let identification = await attributor.identify(tag, holdingAtMost: Self.holdLimit)
        attributions.count(identification, isFinal: true)
        callers.note(identification)
        return identification
    }

    func cachedServiceAccount(of pod: PodRecord) -> ServiceAccountRecord? {
        tokens.cachedServiceAccount(of: pod)
    }

    func serviceAccount(of pod: PodRecord) async throws(TokenFailure) -> ServiceAccountRecord {
        try await tokens.serviceAccount(of: pod)
    }

    func cachedAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> ServedToken? {
        tokens.cachedAccessToken(for: pod, account: account, scopes: scopes)
    }

    func leaseOnAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> TokenLease? {
        tokens.leaseOnAccessToken(for: pod, account: account, scopes: scopes)
    }

    func use(_ lease: TokenLease) -> Bool { tokens.use(lease) }

    func accessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.accessToken(for: pod, account: account, scopes: scopes)
    }

    func cachedIdentityToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken? {
        tokens.cachedIdentityToken(for: pod, account: account, audience: audience)
    }

    func identityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.identityToken(for: pod, account: account, audience: audience)
    }

    func cachedPodToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken? {
        tokens.cachedPodToken(for: pod, account: account, audience: audience)
    }

    func podToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.podToken(for: pod, account: account, audience: audience)
    }
}
