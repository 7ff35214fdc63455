package import Attribution
package import Tokens

/// The rest of the agent as the metadata server and its rooms ask it.
///
/// The methods that are not `async` are hash look-ups on the hot path: they run on an event loop and must not block.
package protocol MetadataBackend: CloudBackend {
    /// Identifies the caller of a connection, now. Called for every request: a pod may vanish under a kept-alive
    /// connection.
    func identify(_ tag: CallerTag) -> Identification

    /// Identifies the caller as `identify` does, but waits for a pod whose record has not arrived yet, at most 2 s.
    ///
    /// Cancellation of the task ends the wait, as it does for the other asynchronous methods: each then answers what it
    /// answers at the end of its own time.
    func identifyHolding(_ tag: CallerTag) async -> Identification

    /// The pod's ServiceAccount, if it is cached.
    func cachedServiceAccount(of pod: PodRecord) -> ServiceAccountRecord?

    func serviceAccount(of pod: PodRecord) async throws(TokenFailure) -> ServiceAccountRecord

    /// An access token that is fit to serve, if one is cached.
    func cachedAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> ServedToken?

    /// A promise that what `cachedAccessToken` returns does not change, if there can be one. Asked for before the token
    /// itself: what changes in between ends it.
    func leaseOnAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> TokenLease?

    /// Whether the lease holds, in which case the answer that it was given for is given again.
    func use(_ lease: TokenLease) -> Bool

    func accessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) async throws(TokenFailure) -> ServedToken

    /// An identity token that is fit to serve, if one is cached.
    func cachedIdentityToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken?

    func identityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken

    /// The pod's own Kubernetes JWT, if one that is fit to serve is cached. `audience` is a configured one.
    func cachedPodToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken?

    func podToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken
}
