import Attribution
import Synchronization
import Tokens

/// Kubernetes, STS and IAM in one: counts calls, fails as told, and holds calls until they are let go.
///
/// The tokens name their kind, their pod and a number: `jwt|POD|1`.
final class FakeUpstream: SubjectTokenIssuing, ServiceAccountReading, TokenExchanging {
    enum Step: Sendable, Hashable, CaseIterable {
        case serviceAccount, subject, exchange, accessToken, identityToken
    }

    struct Call: Sendable, Equatable {
        var step: Step
        /// The pod; for ServiceAccount reads the name of the account.
        var subject: String
        var scopes: ScopeSet?
        var account: String?
        var audience: String?
        var quotaProject: String?
        /// The JWT or token that was presented.
        var presented: String?
    }

    private struct Hold: Hashable {
        var step: Step
        var subject: String?
    }

    private struct Storage {
        var calls: [Call] = []
        var failures: [Step: [UpstreamFailure]] = [:]
        var standing: [Step: UpstreamFailure] = [:]
        var lifetimes: [Step: Duration] = [:]
        var answers: [Step: String] = [:]
        var accounts: [ServiceAccountReference: ServiceAccountRecord] = [:]
        var holds: Set<Hold> = []
        var held: [(hold: Hold, continuation: CheckedContinuation<Void, Never>)] = []
        var count = 0
    }

    private let storage = Mutex(Storage())

    // MARK: Script

    /// The next calls of `step` fail, one after the other.
    func failNext(_ step: Step, with failures: UpstreamFailure...) {
        storage.withLock { $0.failures[step, default: []] += failures }
    }

    /// Every call of `step` fails until told otherwise.
    func fail(_ step: Step, with failure: UpstreamFailure?) {
        storage.withLock { $0.standing[step] = failure }
    }

    func setLifetime(_ lifetime: Duration, of step: Step) {
        storage.withLock { $0.lifetimes[step] = lifetime }
    }

    func setAnswer(_ token: String, of step: Step) {
        storage.withLock { $0.answers[step] = token }
    }

    func set(_ account: ServiceAccountRecord) {
        storage.withLock { $0.accounts[account.reference] = account }
    }

    /// Calls of `step`, for one pod or all, do not return until `letGo`.
    func hold(_ step: Step, of subject: String? = nil) {
        storage.withLock { _ = $0.holds.insert(Hold(step: step, subject: subject)) }
    }

    func letGo(_ step: Step, of subject: String? = nil) {
        let hold = Hold(step: step, subject: subject)
        let continuations = storage.withLock { storage in
            storage.holds.remove(hold)
            defer { storage.held.removeAll { $0.hold == hold } }
            return storage.held.filter { $0.hold == hold }.map(\.continuation)
        }
        for continuation in continuations { continuation.resume() }
    }

    // MARK: Record

    var calls: [Call] { storage.withLock { $0.calls } }

    func count(_ step: Step, of subject: String? = nil) -> Int {
        calls.count { $0.step == step && (subject == nil || $0.subject == subject) }
    }

    /// Returns once `step` was called `count` times or more.
    func called(_ step: Step, _ count: Int = 1, of subject: String? = nil) async {
        await eventually { self.count(step, of: subject) >= count }
    }

    // MARK: Upstream

    func serviceAccount(_ reference: ServiceAccountReference) async throws(UpstreamFailure) -> ServiceAccountRecord {
        let account = storage.withLock { $0.accounts[reference] }
        try await perform(Call(step: .serviceAccount, subject: reference.name))
        guard let account else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .notFound, status: 404, message: "not found")
        }
        return account
    }

    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        let uid = pod.uid.description
        let name: String? = if case .relyingParty(let name) = audience { name } else { nil }
        try await perform(Call(step: .subject, subject: uid, account: serviceAccountUID, audience: name))
        return SubjectToken(token: token(.subject, "jwt", uid), lifetime: lifetime(.subject))
    }

    func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        let uid = Self.subject(of: subject.token)
        try await perform(Call(step: .exchange, subject: uid, scopes: scopes, presented: subject.token.exposed))
        return UpstreamToken(token: token(.exchange, "fed", uid), lifetime: lifetime(.exchange))
    }

    func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let uid = Self.subject(of: federated.token)
        try await perform(
            Call(
                step: .accessToken, subject: uid, scopes: scopes, account: account, quotaProject: quotaProject,
                presented: federated.token.exposed))
        return UpstreamToken(token: token(.accessToken, "gsa", uid), lifetime: lifetime(.accessToken))
    }

    func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let uid = Self.subject(of: federated.token)
        try await perform(
            Call(
                step: .identityToken, subject: uid, account: account, audience: audience,
                quotaProject: quotaProject, presented: federated.token.exposed))
        return UpstreamToken(token: token(.identityToken, "id", uid), lifetime: lifetime(.identityToken))
    }

    // MARK: Parts

    private static func subject(of token: SecretToken) -> String {
        String(token.exposed.split(separator: "|", omittingEmptySubsequences: false).dropFirst().first ?? "")
    }

    private func token(_ step: Step, _ kind: String, _ uid: String) -> SecretToken {
        storage.withLock { storage in
            storage.count += 1
            return SecretToken(storage.answers[step] ?? "\(kind)|\(uid)|\(storage.count)")
        }
    }

    private func lifetime(_ step: Step) -> Duration {
        storage.withLock { $0.lifetimes[step] ?? .seconds(3600) }
    }

    private func perform(_ call: Call) async throws(UpstreamFailure) {
        let failure: UpstreamFailure? = storage.withLock { storage in
            storage.calls.append(call)
            guard var next = storage.failures[call.step], !next.isEmpty else { return storage.standing[call.step] }
            defer { storage.failures[call.step] = next }
            return next.removeFirst()
        }
        await withCheckedContinuation { continuation in
            let isHeld = storage.withLock { storage in
                let holds = [Hold(step: call.step, subject: call.subject), Hold(step: call.step, subject: nil)]
                guard let hold = holds.first(where: storage.holds.contains) else { return false }
                storage.held.append((hold, continuation))
                return true
            }
            if !isHeld { continuation.resume() }
        }
        if let failure { throw failure }
    }
}

extension UpstreamFailure {
    static func iam(
        _ kind: Kind, _ status: Int? = nil, _ message: String = "told so", retryAfter: Duration? = nil
    ) -> Self {
        Self(upstream: .iamCredentials, kind: kind, status: status, message: message, retryAfter: retryAfter)
    }

    static func sts(
        _ kind: Kind, _ status: Int? = nil, _ message: String = "told so", retryAfter: Duration? = nil
    ) -> Self {
        Self(upstream: .securityTokenService, kind: kind, status: status, message: message, retryAfter: retryAfter)
    }

    static func kubernetes(
        _ kind: Kind, _ status: Int? = nil, _ message: String = "told so", retryAfter: Duration? = nil
    ) -> Self {
        Self(upstream: .kubernetes, kind: kind, status: status, message: message, retryAfter: retryAfter)
    }
}
