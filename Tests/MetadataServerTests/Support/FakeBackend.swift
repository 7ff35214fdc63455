import Attribution
import MetadataServer
import Synchronization
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol

/// A backend whose every answer a test decides, and which counts what reaches upstream.
final class FakeBackend: MetadataBackend {
    enum Stage: Sendable {
        case record, account, token
    }

    struct State {
        var identification: Identification
        var afterHolding: Identification?
        var account: ServiceAccountRecord
        var isAccountCached = true
        var instance = InstanceAttributes.test
        var isTokenCached = false
        var failure: TokenFailure?
        var holdsTokens = false
        var waiters: [CheckedContinuation<Void, Never>] = []
        var arrivals: [CheckedContinuation<Void, Never>] = []
        var mintedScopes: [ScopeSet] = []
        var mintedAudiences: [String] = []
        var podTokenAudiences: [String] = []
        /// The credential of another cloud that is cached, and those that were announced and fetched.
        var credential: ServedToken?
        var prepared: [CloudCredential] = []
        var fetched: [CloudCredential] = []
        var rememberedFailure: TokenFailure?
        var accountReads = 0
        var lease: TokenLease?
        var leaseHolds = false
        /// Whether the pod's record, the account and tokens are waited for until the task is cancelled.
        var neverArrives: Set<Stage> = []
        /// The stages that were waited for until then, in order.
        var cutShort: [Stage] = []
    }

    private let state: Mutex<State>

    init(_ pod: TestPod = .p1) {
        state = Mutex(State(identification: .caller(pod.caller), account: pod.account))
    }

    func update(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    func read<Value: Sendable>(_ value: (State) -> Value) -> Value { state.withLock { value($0) } }

    var upstreamCalls: Int { read { $0.mintedScopes.count + $0.mintedAudiences.count + $0.podTokenAudiences.count } }

    var instance: InstanceAttributes { read(\.instance) }

    func identify(_ tag: CallerTag) -> Identification { read(\.identification) }

    /// As a real backend does that has nothing: waits for the end of the caller's time.
    private func waitInVain(for stage: Stage) async -> Bool {
        guard read({ $0.neverArrives.contains(stage) }) else { return false }
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in stream {}
        continuation.finish()
        state.withLock { $0.cutShort.append(stage) }
        return true
    }

    func identifyHolding(_ tag: CallerTag) async -> Identification {
        _ = await waitInVain(for: .record)
        return state.withLock { state in
            if let later = state.afterHolding { state.identification = later }
            return state.identification
        }
    }

    func cachedServiceAccount(of pod: PodRecord) -> ServiceAccountRecord? {
        read { $0.isAccountCached ? $0.account : nil }
    }

    func serviceAccount(of pod: PodRecord) async throws(TokenFailure) -> ServiceAccountRecord {
        if await waitInVain(for: .account) { throw .timedOut(stage: "the ServiceAccount") }
        let (account, failure) = state.withLock { state in
            state.accountReads += 1
            return (state.account, state.isAccountCached ? nil : state.failure)
        }
        if let failure { throw failure }
        return account
    }

    func cachedAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> ServedToken? {
        read { $0.isTokenCached } ? Self.token(scopes) : nil
    }

    func leaseOnAccessToken(for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet) -> TokenLease? {
        read(\.lease)
    }

    func use(_ lease: TokenLease) -> Bool { read(\.leaseHolds) }

    func holds(_ lease: TokenLease) -> Bool { read(\.leaseHolds) }

    func accessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) async throws(TokenFailure) -> ServedToken {
        if await waitInVain(for: .token) { throw .timedOut(stage: "Google STS") }
        await holdIfAsked()
        let failure = state.withLock { state in
            state.mintedScopes.append(scopes)
            state.isTokenCached = state.failure == nil
            return state.failure
        }
        if let failure { throw failure }
        return Self.token(scopes)
    }

    func identityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        await holdIfAsked()
        let failure = state.withLock { state in
            state.mintedAudiences.append(audience)
            return state.failure
        }
        if let failure { throw failure }
        return Self.identityToken(audience)
    }

    func cachedIdentityToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken? {
        read { $0.isTokenCached && $0.mintedAudiences.contains(audience) } ? Self.identityToken(audience) : nil
    }

    func cachedPodToken(for pod: PodRecord, account: ServiceAccountRecord, audience: String) -> ServedToken? {
        read { $0.podTokenAudiences.contains(audience) } ? Self.podToken : nil
    }

    func podToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        await holdIfAsked()
        let failure = state.withLock { state in
            if state.failure == nil { state.podTokenAudiences.append(audience) }
            return state.failure
        }
        if let failure { throw failure }
        return Self.podToken
    }

    func cachedCredential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> ServedToken? {
        read(\.credential)
    }

    func lease(
        on credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenLease? {
        read(\.lease)
    }

    func prepare(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) {
        update { $0.prepared.append(credential) }
    }

    func rememberedFailure(
        of credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) -> TokenFailure? {
        read(\.rememberedFailure)
    }

    func holds(_ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord) -> Bool {
        read { $0.credential != nil }
    }

    func credential(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) async throws(TokenFailure) -> ServedToken {
        if await waitInVain(for: .token) { throw .timedOut(stage: "the cloud") }
        let failure = state.withLock { state in
            state.fetched.append(credential)
            return state.failure
        }
        if let failure { throw failure }
        return ServedToken(token: SecretToken("fetched"), expiresIn: 3600)
    }

    /// Returns when a token request has arrived and is being held.
    func tokenRequestArrived() async {
        await withCheckedContinuation { arrival in
            let isHere = state.withLock { state in
                if state.waiters.isEmpty { state.arrivals.append(arrival) }
                return !state.waiters.isEmpty
            }
            if isHere { arrival.resume() }
        }
    }

    /// Lets the held token requests, and all later ones, go on.
    func releaseTokens() {
        let waiters = state.withLock { state in
            defer { state.waiters = [] }
            state.holdsTokens = false
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func holdIfAsked() async {
        guard read(\.holdsTokens) else { return }
        await withCheckedContinuation { waiter in
            let arrivals = state.withLock { state in
                defer { state.arrivals = [] }
                state.waiters.append(waiter)
                return state.arrivals
            }
            for arrival in arrivals { arrival.resume() }
        }
    }

    private static let podToken = ServedToken(token: SecretToken("header.pod.signature"), expiresIn: 3600)

    private static func identityToken(_ audience: String) -> ServedToken {
        ServedToken(token: SecretToken("header.\(audience.utf8.count).signature"), expiresIn: 3600)
    }

    private static func token(_ scopes: ScopeSet) -> ServedToken {
        ServedToken(token: SecretToken("ya29.\(scopes.sorted.joined(separator: "+").utf8.count)"), expiresIn: 3599)
    }
}

/// Remembers what it was told.
final class RecordingObserver: MetadataServerObserver {
    struct Record {
        var opened = 0
        var closed = 0
        var resets: [ConnectionReset] = []
        var requests: [RouteClass] = []
        var answers: [AnsweredRequest] = []
        var refusals: [RefusedRequest] = []
        var limits: [LimitKind] = []
    }

    private let storage = Mutex(Record())
    private let hitStream: AsyncStream<LimitKind>
    private let hits: AsyncStream<LimitKind>.Continuation
    private let endStream: AsyncStream<Void>
    private let ends: AsyncStream<Void>.Continuation

    init() {
        (hitStream, hits) = AsyncStream.makeStream()
        (endStream, ends) = AsyncStream.makeStream()
    }

    var record: Record { storage.withLock { $0 } }

    func connectionOpened() { storage.withLock { $0.opened += 1 } }
    func connectionClosed() {
        storage.withLock { $0.closed += 1 }
        ends.yield()
    }

    /// Returns when one more connection has closed than calls of this have returned.
    func oneClosed() async {
        for await _ in endStream { return }
    }
    func connectionReset(_ reason: ConnectionReset) { storage.withLock { $0.resets.append(reason) } }
    func requestAnswered(_ answer: AnsweredRequest) {
        storage.withLock { record in
            record.requests.append(answer.route)
            record.answers.append(answer)
        }
    }
    func requestRefused(_ refusal: RefusedRequest) { storage.withLock { $0.refusals.append(refusal) } }
    func limitHit(_ limit: LimitKind) {
        storage.withLock { $0.limits.append(limit) }
        hits.yield(limit)
    }

    /// Returns when `limit` has been hit once more than calls of this have returned.
    func hit(_ limit: LimitKind) async {
        for await hit in hitStream where hit == limit { return }
    }
}
