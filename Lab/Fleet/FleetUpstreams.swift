import Attribution
import Tokens
import VirtualTime

/// A quota that begins again with each minute, as Google's do.
struct MinuteQuota {
    var perMinute: Int
    private var minute: Int64 = -1
    private var used = 0

    init(perMinute: Int) { self.perMinute = perMinute }

    /// Whether one more request fits into the minute of `elapsed` nanoseconds. A refused one does not count.
    mutating func admits(at elapsed: Int64) -> Bool {
        let present = elapsed / 60_000_000_000
        if present != minute { (minute, used) = (present, 0) }
        guard used < perMinute else { return false }
        used += 1
        return true
    }
}

/// The calls of one minute.
struct CallCounts {
    var reads = 0
    var tokenRequests = 0
    var refusedTokenRequests = 0
    var exchanges = 0
    var refusedExchanges = 0
    var impersonations = 0
}

/// The API server, STS and IAM Credentials of a fleet: what they answer, and when they refuse. No bytes.
final class FleetUpstreams: SubjectTokenIssuing, ServiceAccountReading, TokenExchanging, @unchecked Sendable {
    private let timeline: Timeline
    private let options: FleetOptions
    private let random: () -> Double
    /// The API server's own limit, in each second.
    private var tokenRequests: (second: Int64, used: Int) = (-1, 0)
    private var exchanges: MinuteQuota
    private var impersonations: MinuteQuota
    var isSTSDown = false
    var counts = CallCounts()

    init(_ timeline: Timeline, _ options: FleetOptions, random: @escaping () -> Double) {
        (self.timeline, self.options, self.random) = (timeline, options, random)
        exchanges = MinuteQuota(perMinute: options.exchangesPerMinute)
        impersonations = MinuteQuota(perMinute: options.impersonationsPerMinute)
    }

    func setExchangesPerMinute(_ quota: Int) { exchanges.perMinute = quota }

    // MARK: The API server

    func serviceAccount(
        _ reference: ServiceAccountReference
    ) async throws(UpstreamFailure) -> ServiceAccountRecord {
        counts.reads += 1
        try await travel(.milliseconds(3), to: .kubernetes)
        let number = Int(reference.name.dropFirst("account-".count)) ?? 0
        return ServiceAccountRecord(
            namespace: reference.namespace, name: reference.name, uid: "uid-\(number)",
            googleServiceAccount: number.isMultiple(of: 2) ? "account-\(number)@fleet.iam.gserviceaccount.com" : nil)
    }

    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        counts.tokenRequests += 1
        let second = timeline.elapsed / 1_000_000_000
        if second != tokenRequests.second { tokenRequests = (second, 0) }
        guard tokenRequests.used < options.tokenRequestsPerSecond else {
            counts.refusedTokenRequests += 1
            try await travel(.milliseconds(2), to: .kubernetes)
            throw UpstreamFailure(
                upstream: .kubernetes, kind: .rateLimited, status: 429, message: "too many requests",
                retryAfter: .seconds(1))
        }
        tokenRequests.used += 1
        try await travel(.milliseconds(8), to: .kubernetes)
        return SubjectToken(token: Self.token, lifetime: .seconds(3_600))
    }

    // MARK: Google

    func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        try await travel(.milliseconds(70), to: .securityTokenService)
        counts.exchanges += 1
        guard !isSTSDown else {
            counts.refusedExchanges += 1
            throw UpstreamFailure(
                upstream: .securityTokenService, kind: .unavailable, status: 503, message: "unavailable")
        }
        guard exchanges.admits(at: timeline.elapsed) else {
            counts.refusedExchanges += 1
            throw UpstreamFailure(
                upstream: .securityTokenService, kind: .rateLimited, status: 429, message: "quota exceeded")
        }
        return UpstreamToken(token: Self.token, lifetime: subject.lifetime)
    }

    func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await travel(.milliseconds(90), to: .iamCredentials)
        counts.impersonations += 1
        guard impersonations.admits(at: timeline.elapsed) else {
            throw UpstreamFailure(upstream: .iamCredentials, kind: .rateLimited, status: 429, message: "quota exceeded")
        }
        return UpstreamToken(token: Self.token, lifetime: .seconds(3_600))
    }

    func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await accessToken(as: account, scopes: .default, quotaProject: quotaProject, federated: federated)
    }

    // MARK: Parts

    private static let token = SecretToken("token")

    /// The time of a call: about `usual`, from two thirds to four thirds of it.
    private func travel(_ usual: Duration, to upstream: UpstreamFailure.Upstream) async throws(UpstreamFailure) {
        do {
            try await timeline.sleep(for: usual * (0.67 + 0.66 * random()))
        } catch {
            throw UpstreamFailure(upstream: upstream, kind: .unavailable, message: "cancelled")
        }
    }
}
