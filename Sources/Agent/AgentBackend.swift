import Attribution
import MetadataServer
import Tokens

/// What the HTTP front asks, answered by the attributor and the token service.
struct AgentBackend: MetadataBackend {
    let attributor: Attributor
    let tokens: TokenService
    let node: NodeInformation

    /// How long a request may wait for its pod's record. Well below the 3 s after which Google's clients give up.
    private static let holdLimit = Duration.seconds(2)

    var instance: InstanceAttributes { node.attributes }

    func identify(_ tag: CallerTag) -> Identification {
        attributor.identify(tag)
    }

    func identifyHolding(_ tag: CallerTag) async -> Identification {
        await attributor.identify(tag, holdingAtMost: Self.holdLimit)
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
