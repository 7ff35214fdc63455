package import Attribution
package import Tokens

/// A backend whose credentials are a ``TokenService``'s: what is left to it is who asks.
package protocol TokenServiceBackend: MetadataBackend {
    var tokens: TokenService { get }
}

extension TokenServiceBackend {
    package func cachedServiceAccount(of pod: PodRecord) -> ServiceAccountRecord? {
        tokens.cachedServiceAccount(of: pod)
    }

    package func serviceAccount(of pod: PodRecord) async throws(TokenFailure) -> ServiceAccountRecord {
        try await tokens.serviceAccount(of: pod)
    }

    package func cachedAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> ServedToken?
    {
        tokens.cachedAccessToken(for: pod, account: account, scopes: scopes)
    }

    package func leaseOnAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> TokenLease?
    {
        tokens.leaseOnAccessToken(for: pod, account: account, scopes: scopes)
    }

    package func use(_ lease: TokenLease) -> Bool { tokens.use(lease) }

    package func accessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.accessToken(for: pod, account: account, scopes: scopes)
    }

    package func cachedIdentityToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String)
        -> ServedToken?
    {
        tokens.cachedIdentityToken(for: pod, account: account, audience: audience)
    }

    package func identityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.identityToken(for: pod, account: account, audience: audience)
    }

    package func cachedPodToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken? {
        tokens.cachedPodToken(for: pod, account: account, audience: audience)
    }

    package func podToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.podToken(for: pod, account: account, audience: audience)
    }
}
