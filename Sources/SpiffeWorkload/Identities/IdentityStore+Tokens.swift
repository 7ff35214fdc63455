import Attribution
import FoundationEssentials
import NIOCore
import SpiffeIdentity
import Synchronization

/// A JWT-SVID that a pod asks for: its audiences, in order, and the container that asks.
struct TokenQuery: Sendable, Hashable {
    let audience: [String]
    /// A label that the signer may make a claim of, after the API server has confirmed it. Never an identity.
    let container: String?
}

/// A JWT-SVID of one pod for one query, and the fetch of the next.
struct HeldToken: Sendable {
    struct Token: Sendable {
        var message: ByteBuffer
        /// The time from which the next one is fetched.
        var refreshAt: ContinuousClock.Instant
        /// The time until which it is served where there is no other.
        var endsAt: ContinuousClock.Instant
    }

    var token: Token?
    var fetch: Task<Result<Token, IssueFailure>, Never>?
}

extension IdentityStore {
    /// The message of FetchJWTSVID, if one can be given at once.
    func tokenMessage(for pod: PodRecord, audience: [String], container: String? = nil) -> ByteBuffer? {
        let query = TokenQuery(audience: audience, container: container)
        let now = ContinuousClock.now
        return storage.withLock { storage in
            guard let identity = storage.pods[pod.uid], identity.pod.isSameIdentity(as: pod),
                let token = identity.tokens[query]?.token, now < token.refreshAt
            else { return nil }
            return token.message
        }
    }

    /// The same, obtained if need be; an older token if that fails, for as long as one is good for a minute.
    func fetchTokenMessage(
        for pod: PodRecord, audience: [String], container: String? = nil
    ) async throws(GRPCStatus) -> ByteBuffer {
        if let message = tokenMessage(for: pod, audience: audience, container: container) { return message }
        let query = TokenQuery(audience: audience, container: container)
        let fetch = try tokenFetch(for: pod, query)
        switch await fetch.value {
        case .success(let token): return token.message
        case .failure(let failure):
            let held = storage.withLock { $0.pods[pod.uid]?.tokens[query]?.token }
            guard let held, ContinuousClock.now < held.endsAt else { throw failure.status }
            return held.message
        }
    }

    private func tokenFetch(
        for pod: PodRecord, _ query: TokenQuery
    ) throws(GRPCStatus) -> Task<Result<HeldToken.Token, IssueFailure>, Never> {
        let found: Result<Task<Result<HeldToken.Token, IssueFailure>, Never>, IssueFailure> = storage.withLock {
            storage in
            guard !storage.isClosed else { return .failure(IssueFailure(.unavailable, "the agent stops")) }
            var identity = storage.pods[pod.uid] ?? PodIdentity(pod: pod)
            if !identity.pod.isSameIdentity(as: pod) {
                identity.renewal?.cancel()
                identity = PodIdentity(pod: pod, streams: identity.streams)
            }
            if let fetch = identity.tokens[query]?.fetch { return .success(fetch) }
            identity.dropEndedTokens()
            if identity.tokens[query] == nil, identity.tokens.count >= configuration.tokensPerPod {
                return .failure(IssueFailure(.limited, "the pod holds tokens for too many sets of audiences"))
            }
            guard identity.tokens.values.count(where: { $0.fetch != nil }) < configuration.tokenFetchesPerPod else {
                return .failure(IssueFailure(.limited, "too many tokens of the pod are being fetched"))
            }
            let fetch = Task { await self.obtainToken(for: pod, query) }
            identity.tokens[query, default: HeldToken()].fetch = fetch
            storage.pods[pod.uid] = identity
            return .success(fetch)
        }
        do throws(IssueFailure) { return try found.get() } catch { throw error.status }
    }

    private func obtainToken(for pod: PodRecord, _ query: TokenQuery) async -> Result<HeldToken.Token, IssueFailure> {
        let begin = ContinuousClock.now
        // A client of an old token does not wait: it has one.
        let older = storage.withLock { $0.pods[pod.uid]?.tokens[query]?.token }
        let hasOlder = older.map { $0.endsAt > begin } ?? false
        let deadline = hasOlder ? begin : begin + configuration.holdLimit
        let result = await retrying(until: deadline) { () async throws(IssueFailure) in
            try await self.token(for: pod, query)
        }
        switch result {
        case .success:
            if let id = try? spiffeID(of: pod) {
                observer.issued(
                    IssuedSVID(
                        kind: .jwt, id: id, serialNumber: "", audience: query.audience, container: query.container),
                    for: pod,
                    took: ContinuousClock.now - begin)
            }
        case .failure(let failure): observer.failed(.jwt, for: pod, failure)
        }
        storage.withLock { storage in
            guard storage.pods[pod.uid]?.pod.isSameIdentity(as: pod) == true else { return }
            storage.pods[pod.uid]?.tokens[query]?.fetch = nil
            if case .success(let token) = result {
                storage.pods[pod.uid]?.tokens[query]?.token = token
            } else if storage.pods[pod.uid]?.tokens[query]?.token == nil {
                storage.pods[pod.uid]?.tokens[query] = nil
            }
        }
        return result
    }

    /// Asks for a token, and makes sure that it is the one that was asked for.
    private func token(for pod: PodRecord, _ query: TokenQuery) async throws(IssueFailure) -> HeldToken.Token {
        let audience = query.audience
        let id = try spiffeID(of: pod)
        let text = try await issuer.token(for: pod, container: query.container, audience: audience)
        let verified = try await verify(text, audience: audience[0])
        guard verified.id == id, Set(verified.claims["aud"]?.strings ?? []) == Set(audience) else {
            throw IssueFailure(.unavailable, "the signer's token is for something else than what was asked")
        }
        let seconds = min(verified.expiration - Date().timeIntervalSince1970, WorkloadConfiguration.longestLife)
        let life = Duration.seconds(seconds)
        let now = ContinuousClock.now
        return HeldToken.Token(
            message: WorkloadMessages.token(text, of: id), refreshAt: now + life / 2,
            endsAt: now + life - configuration.leastTokenLife)
    }

    /// Verifies against the bundle, and against a bundle that is read now if the token's key is newer than the last.
    private func verify(_ text: String, audience: String) async throws(IssueFailure) -> JWTSVID.Verified {
        let now = Date().timeIntervalSince1970
        if let verified = try? JWTSVID.verify(text, audience: audience, bundle: try await bundle(), now: now) {
            return verified
        }
        let bundle = try await refreshedBundle()
        do throws(SpiffeError) {
            return try JWTSVID.verify(text, audience: audience, bundle: bundle, now: now)
        } catch {
            throw IssueFailure(.unavailable, "the signer's token cannot be used: \(error)")
        }
    }

    /// The message of ValidateJWTSVID; any fault of the token is the caller's.
    func validationMessage(_ request: WorkloadMessages.ValidationRequest) async throws(GRPCStatus) -> ByteBuffer {
        guard !request.audience.isEmpty, !request.token.isEmpty else {
            throw GRPCStatus(.invalidArgument, "audience and svid must be given")
        }
        let deadline = ContinuousClock.now + configuration.holdLimit
        switch await retrying(until: deadline, { () async throws(IssueFailure) in try await self.bundle() }) {
        case .failure(let failure): throw failure.status
        case .success(let bundle):
            do throws(SpiffeError) {
                let verified = try JWTSVID.verify(
                    request.token, audience: request.audience, bundle: bundle, now: Date().timeIntervalSince1970)
                return WorkloadMessages.validation(verified)
            } catch {
                throw GRPCStatus(.invalidArgument, error.description)
            }
        }
    }
}

extension IdentityStore.PodIdentity {
    fileprivate mutating func dropEndedTokens() {
        let now = ContinuousClock.now
        tokens = tokens.filter { $0.value.fetch != nil || ($0.value.token?.endsAt ?? now) > now }
    }
}
