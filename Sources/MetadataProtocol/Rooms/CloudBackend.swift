package import Attribution
package import Tokens

/// Calls of rooms to the rest of the agent. All but ``credential(_:for:account:)`` are hash look-ups that must not
/// block.
package protocol CloudBackend: Sendable {
    /// A credential that is fit to serve, if one is cached.
    func cachedCredential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> ServedToken?

    /// A promise that what `cachedCredential` returns does not change, if there can be one.
    func lease(on credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) -> TokenLease?

    /// Says whether the lease holds, for an answer that is no credential.
    func holds(_ lease: TokenLease) -> Bool

    /// Begins to fetch the credential, if it is neither here nor on its way.
    func prepare(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord)

    /// Why the credential cannot be had, if that was found out just now and asking again is not due.
    func rememberedFailure(
        of credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenFailure?

    /// Whether a valid credential is here, however little of its life is left.
    func holds(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) -> Bool

    func credential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) async throws(TokenFailure) -> ServedToken
}

extension TokenServiceBackend {
    package func cachedCredential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> ServedToken? {
        tokens.cachedCredential(credential, for: pod, account: account)
    }

    package func lease(
        on credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenLease? {
        tokens.lease(on: credential, for: pod, account: account)
    }

    package func holds(_ lease: TokenLease) -> Bool { tokens.holds(lease) }

    package func prepare(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) {
        tokens.prepare(credential, for: pod, account: account)
    }

    package func rememberedFailure(
        of credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenFailure? {
        tokens.rememberedFailure(of: credential, for: pod, account: account)
    }

    package func holds(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) -> Bool {
        tokens.holds(credential, for: pod, account: account)
    }

    package func credential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) async throws(TokenFailure) -> ServedToken {
        try await tokens.credential(credential, for: pod, account: account)
    }
}
