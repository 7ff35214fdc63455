package import Attribution

extension TokenService {
    // MARK: ServiceAccounts

    /// The pod's ServiceAccount, read 2 s ago at most, or longer while the API server does not answer.
    ///
    /// A record older than 1 s is read again in the background.
    package func cachedServiceAccount(of pod: PodRecord) -> ServiceAccountRecord? {
        update(ending: .of(pod.uid), onlyIfWorkFollows: true) { table, now in
            table.cachedServiceAccount(of: pod, now: now)
        }
    }

    /// The pod's ServiceAccount, read again if the last record is too old. Waits at most `waitLimit`, and no longer
    /// than `serviceAccountWaitLimit` where an older record can be served.
    package func serviceAccount(of pod: PodRecord) async throws(TokenFailure) -> ServiceAccountRecord {
        try await answer { completion in requestServiceAccount(of: pod, completion: completion) }
    }

    /// `serviceAccount(of:)` for callers without a task.
    @discardableResult
    package func requestServiceAccount(
        of pod: PodRecord, completion: @escaping Completion<ServiceAccountRecord>
    ) -> TokenWait {
        let began = ClientWait.began
        return update(ending: .of(pod.uid)) { table, now in
            let id = table.makeID()
            let waiter = Waiter(id: id, pod: pod.uid, since: began ?? now, completion: completion)
            table.requestServiceAccount(of: pod, waiter: waiter, now: now)
            return TokenWait(id: id, pod: pod.uid, target: .serviceAccount(ServiceAccountReference(of: pod)))
        }
    }

    // MARK: Access tokens

    /// A token that can be served at once. Starts the refresh that is due.
    ///
    /// `account` is what `serviceAccount(of:)` returned for `pod` just now. No scopes mean `ScopeSet.default`.
    package func cachedAccessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) -> ServedToken? {
        cachedToken(.accessToken(scopes.isEmpty ? .default : scopes), for: pod, account: account)
    }

    /// The cached token, or a new one. Waits at most `waitLimit`.
    package func accessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) async throws(TokenFailure) -> ServedToken {
        try await answer { completion in
            requestAccessToken(for: pod, account: account, scopes: scopes, completion: completion)
        }
    }

    /// `accessToken(for:account:scopes:)` for callers without a task. The result names the wait to
    /// `abandon(_:)`; it is `nil` when nothing can be waiting.
    @discardableResult
    package func requestAccessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet,
        completion: @escaping Completion<ServedToken>
    ) -> TokenWait? {
        requestToken(
            .accessToken(scopes.isEmpty ? .default : scopes), for: pod, account: account, completion: completion)
    }

    package func leaseOnAccessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) -> TokenLease? {
        let kind = TokenKey.Kind.accessToken(scopes.isEmpty ? .default : scopes)
        return lease(on: TokenKey(pod: pod.uid, account: account, kind: kind), for: pod, account: account)
    }

    // MARK: Identity tokens

    /// An identity token that can be served at once. Starts the refresh that is due.
    package func cachedIdentityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) -> ServedToken? {
        guard account.googleServiceAccount != nil else { return nil }
        return cachedToken(.identityToken(audience: audience), for: pod, account: account)
    }

    /// The cached identity token, or a new one; `noGoogleServiceAccount` if `account` names none.
    package func identityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await answer { completion in
            requestIdentityToken(for: pod, account: account, audience: audience, completion: completion)
        }
    }

    /// `identityToken(for:account:audience:)` for callers without a task. The result names the wait to
    /// `abandon(_:)`; it is `nil` when nothing can be waiting.
    @discardableResult
    package func requestIdentityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String,
        completion: @escaping Completion<ServedToken>
    ) -> TokenWait? {
        guard account.googleServiceAccount != nil else {
            completion(.failure(.noGoogleServiceAccount(ServiceAccountReference(of: pod))))
            return nil
        }
        return requestToken(.identityToken(audience: audience), for: pod, account: account, completion: completion)
    }

    // MARK: Pod tokens

    /// The pod's own JWT for `audience` that can be served at once. Starts the refresh that is due.
    package func cachedPodToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) -> ServedToken? {
        cachedToken(.podToken(audience: audience), for: pod, account: account)
    }

    /// The pod's own JWT for `audience`, cached or new. Which audiences a pod may name is the caller's to know.
    package func podToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await answer { completion in
            requestToken(.podToken(audience: audience), for: pod, account: account, completion: completion)
        }
    }

    // MARK: Common

    private func cachedToken(
        _ kind: TokenKey.Kind, for pod: PodRecord, account: ServiceAccountRecord
    ) -> ServedToken? {
        cachedToken(TokenKey(pod: pod.uid, account: account, kind: kind), for: pod, account: account)
    }

    func cachedToken(_ key: TokenKey, for pod: PodRecord, account: ServiceAccountRecord) -> ServedToken? {
        guard account.isUsed(by: pod) else { return nil }
        return update(ending: .of(pod.uid), onlyIfWorkFollows: true) { table, now in
            table.cachedToken(key, for: pod, now: now)?.served(at: now)
        }
    }

    private func requestToken(
        _ kind: TokenKey.Kind, for pod: PodRecord, account: ServiceAccountRecord,
        completion: @escaping Completion<ServedToken>
    ) -> TokenWait? {
        let key = TokenKey(pod: pod.uid, account: account, kind: kind)
        return requestToken(key, for: pod, account: account, completion: completion)
    }

    func requestToken(
        _ key: TokenKey, for pod: PodRecord, account: ServiceAccountRecord,
        completion: @escaping Completion<ServedToken>
    ) -> TokenWait? {
        guard account.isUsed(by: pod) else {
            let failure = UpstreamFailure(
                upstream: .kubernetes, kind: .denied, message: "the pod does not run as this ServiceAccount")
            completion(.failure(.upstream(failure, account: account.reference, googleServiceAccount: nil)))
            return nil
        }
        let (clock, began) = (clock, ClientWait.began)
        return update(ending: .of(pod.uid)) { table, now in
            let id = table.makeID()
            let waiter = Waiter<MintedToken>(id: id, pod: pod.uid, since: began ?? now) { result in
                completion(result.map { $0.served(at: clock.now) })
            }
            table.requestToken(key, for: pod, waiter: waiter, now: now)
            return TokenWait(id: id, pod: pod.uid, target: .token(key))
        }
    }

    /// The asynchronous form of a request. Cancellation ends the wait as its limit would; the fetch goes on.
    func answer<Value: Sendable>(
        _ request: (@escaping Completion<Value>) -> TokenWait?
    ) async throws(TokenFailure) -> Value {
        let pending = PendingWait()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Result<Value, TokenFailure>, Never>) in
                guard let wait = request({ continuation.resume(returning: $0) }) else { return }
                if pending.store(wait) { abandon(wait) }
            }
        } onCancel: {
            if let wait = pending.cancel() { abandon(wait) }
        }
        return try result.get()
    }
}

extension ServiceAccountRecord {
    /// The record of one ServiceAccount must never yield a token for a pod that runs as another.
    func isUsed(by pod: PodRecord) -> Bool {
        name == pod.serviceAccountName && namespace == pod.namespace
    }
}
