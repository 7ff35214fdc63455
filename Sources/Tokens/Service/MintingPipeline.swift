import Attribution

/// The upstream calls of one fetch, with their repetitions.
///
/// A federated token takes a subject JWT minted for this exchange and bound to the pod, then STS, which ends the
/// token with the JWT. A Google service account's token takes a federated token, then IAM Credentials, and has a
/// life of its own. A pod token is the JWT itself.
struct MintingPipeline: Sendable {
    /// The scopes that authorize impersonation. Narrower scopes would not do: IAM Credentials is itself a cloud API.
    static let federationScopes = ScopeSet(["https://www.googleapis.com/auth/cloud-platform"])

    typealias Progress = @Sendable (FetchProgress) -> Void

    let issuer: any SubjectTokenIssuing
    let accounts: any ServiceAccountReading
    let exchanger: any TokenExchanging
    let clouds: [CloudName: any CloudCredentialExchanging]
    let clock: any TokenClock
    let jitter: JitterSource
    let configuration: TokenServiceConfiguration

    func readServiceAccount(
        _ reference: ServiceAccountReference, progress: Progress
    ) async throws(UpstreamFailure) -> ServiceAccountRecord {
        try await repeating(since: clock.now, progress) { () async throws(UpstreamFailure) in
            try await accounts.serviceAccount(reference)
        }
    }

    func mint(_ fetch: TokenFetch, progress: Progress) async throws(UpstreamFailure) -> MintedToken {
        let startedAt = clock.now
        if case .podToken(let audience) = fetch.key.kind {
            progress(.stage(.tokenRequest))
            return try await issueSubject(
                for: fetch, audience: .relyingParty(audience), startedAt: startedAt, progress: progress)
        }
        if case .cloud(let identity) = fetch.key.target {
            return try await exchange(for: identity, fetch, startedAt: startedAt, progress: progress)
        }
        guard let account = fetch.key.googleServiceAccount, let federated = fetch.federated else {
            let scopes = if case .accessToken(let wanted) = fetch.key.kind { wanted } else { Self.federationScopes }
            let request = CredentialRequest(pod: fetch.pod, resource: scopes.sorted.joined(separator: " "))
            return try await exchange(
                fetch, at: exchanger, for: request, stage: .exchange, startedAt: startedAt, progress: progress)
        }
        progress(.stage(.impersonation))
        return try await repeating(since: startedAt, isSpaced: fetch.isSpaced, progress) {
            () async throws(UpstreamFailure) in
            try await impersonate(account, for: fetch.key, with: federated)
        }
    }

    // MARK: Exchange

    /// A credential of another cloud.
    private func exchange(
        for identity: CloudIdentity, _ fetch: TokenFetch, startedAt: ContinuousClock.Instant, progress: Progress
    ) async throws(UpstreamFailure) -> MintedToken {
        guard let cloud = clouds[identity.cloud], case .cloudCredential(let resource) = fetch.key.kind else {
            throw UpstreamFailure(
                upstream: .cloud(identity.cloud), kind: .misconfigured,
                message: "the cloud \(identity.cloud) is not configured")
        }
        let request = CredentialRequest(pod: fetch.pod, identity: identity, resource: resource)
        return try await exchange(
            fetch, at: cloud, for: request, stage: .cloudExchange(identity.cloud), startedAt: startedAt,
            progress: progress)
    }

    private func exchange(
        _ fetch: TokenFetch, at exchanger: any CredentialExchanging, for request: CredentialRequest, stage: FetchStage,
        startedAt: ContinuousClock.Instant, progress: Progress
    ) async throws(UpstreamFailure) -> MintedToken {
        do {
            return try await exchangeFreshSubject(
                fetch, at: exchanger, for: request, stage: stage, startedAt: startedAt, progress: progress)
        } catch {
            // The token service judges the age of a JWT by its own clock and its own copy of the issuer's keys. A new JWT may
            // please it; a third would not.
            guard error.kind == .staleSubjectToken else { throw error }
            return try await exchangeFreshSubject(
                fetch, at: exchanger, for: request, stage: stage, startedAt: startedAt, progress: progress)
        }
    }

    /// Repetitions of one exchange use the JWT that was minted for it: it is two seconds old at most.
    private func exchangeFreshSubject(
        _ fetch: TokenFetch, at exchanger: any CredentialExchanging, for request: CredentialRequest, stage: FetchStage,
        startedAt: ContinuousClock.Instant, progress: Progress
    ) async throws(UpstreamFailure) -> MintedToken {
        progress(.stage(.tokenRequest))
        let subject = try await issueSubject(
            for: fetch, audience: exchanger.subjectAudience, startedAt: startedAt, progress: progress)
        progress(.stage(stage))
        return try await repeating(since: startedAt, isSpaced: fetch.isSpaced, progress) {
            () async throws(UpstreamFailure) in
            let askedAt = clock.now
            let answer = try await exchanger.exchange(
                SubjectToken(token: subject.token, lifetime: subject.expiresAt - askedAt), for: request)
            var token = try checked(answer.token, answer.lifetime, askedAt: askedAt, from: exchanger.upstream)
            if exchanger.endsWithSubject { token.expiresAt = min(token.expiresAt, subject.expiresAt) }
            token.subjectID = subject.subjectID
            return token
        }
    }

    private func issueSubject(
        for fetch: TokenFetch, audience: SubjectAudience, startedAt: ContinuousClock.Instant, progress: Progress
    ) async throws(UpstreamFailure) -> MintedToken {
        try await repeating(since: startedAt, progress) { () async throws(UpstreamFailure) in
            let askedAt = clock.now
            let subject = try await issuer.issueSubjectToken(
                for: fetch.pod, serviceAccountUID: fetch.key.serviceAccountUID, audience: audience)
            var token = try checked(subject.token, subject.lifetime, askedAt: askedAt, from: .kubernetes)
            token.subjectID = subject.id
            return token
        }
    }

    // MARK: Impersonation

    private func impersonate(
        _ account: String, for key: TokenKey, with federated: MintedToken
    ) async throws(UpstreamFailure) -> MintedToken {
        let askedAt = clock.now
        let authorization = federated.upstreamToken(at: askedAt)
        let answer =
            switch key.kind {
            case .accessToken(let scopes):
                try await exchanger.accessToken(
                    as: account, scopes: scopes, quotaProject: key.quotaProject, federated: authorization)
            case .identityToken(let audience):
                try await exchanger.identityToken(
                    as: account, audience: audience, quotaProject: key.quotaProject, federated: authorization)
            case .federation, .podToken, .cloudCredential:
                // None has a Google service account, so none comes here.
                authorization
            }
        var token = try checked(answer.token, answer.lifetime, askedAt: askedAt, from: .iamCredentials)
        token.subjectID = federated.subjectID
        return token
    }

    // MARK: Common

    /// An answer without a token, or with one that has ended, is no answer.
    private func checked(
        _ token: SecretToken, _ lifetime: Duration, askedAt: ContinuousClock.Instant,
        from upstream: UpstreamFailure.Upstream
    ) throws(UpstreamFailure) -> MintedToken {
        guard !token.exposed.isEmpty else {
            throw UpstreamFailure(upstream: upstream, kind: .unavailable, message: "the answer holds an empty token")
        }
        guard lifetime >= .seconds(1) else {
            throw UpstreamFailure(
                upstream: upstream, kind: .unavailable, message: "the answer holds a token that has ended already")
        }
        return MintedToken(token: token, issuedAt: askedAt, expiresAt: askedAt + lifetime)
    }

    private func repeating<Answer: Sendable>(
        since startedAt: ContinuousClock.Instant, isSpaced: Bool = false, _ progress: Progress,
        _ step: () async throws(UpstreamFailure) -> Answer
    ) async throws(UpstreamFailure) -> Answer {
        var schedule = RetrySchedule(startedAt: startedAt, configuration: configuration, isSpaced: isSpaced)
        while true {
            do {
                return try await step()
            } catch {
                let now = clock.now
                guard let pause = schedule.pause(after: error, now: now, jitter: jitter()) else { throw error }
                progress(.setback(error))
                do { try await clock.sleep(until: now + pause) } catch { throw Self.cancelled }
            }
        }
    }

    private static let cancelled = UpstreamFailure(
        upstream: .kubernetes, kind: .unavailable, message: "the agent is stopping")
}
