import Attribution
import Testing
import TokenExchange

@testable import Tokens

/// A token service of another cloud with the lifetimes of the real one, which counts its calls.
private struct FakeCloud: CloudCredentialExchanging {
    let cloud: CloudName
    let lifetimes: TokenServiceConfiguration.TokenPolicy
    let upstream: FakeUpstream
    var subjectAudience: SubjectAudience { .cloud("audience of \(cloud)") }

    func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await upstream.exchange(subject, scopes: .default)
    }
}

/// How long credentials of other clouds have to live when pods get them, with every pod's use of them.
@Suite(.timeLimit(.minutes(1))) struct CloudLifetimeTests {
    private let pod = PodRecord.sample()
    private let account = ServiceAccountRecord.direct
    private let credential: CloudCredential

    init() {
        let identity = CloudIdentity(cloud: CloudName("other"), principal: "somebody", annotations: [:])
        credential = CloudCredential(identity: identity)
    }

    /// Uses the credential every ten seconds for three hours, and returns what was left of its life each time,
    /// and the number of exchanges.
    private func use(
        _ lifetimes: TokenServiceConfiguration.TokenPolicy, jitter: Double
    ) async throws -> (remaining: [Int], exchanges: Int) {
        let clock = ManualClock()
        let upstream = FakeUpstream()
        let cloud = FakeCloud(cloud: CloudName("other"), lifetimes: lifetimes, upstream: upstream)
        let service = TokenService(
            issuer: upstream, accounts: upstream, exchanger: upstream, clouds: [cloud], clock: clock, jitter: { jitter }
        )
        var remaining: [Int] = []
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await service.run() }
            for _ in 0..<1080 {
                remaining.append(
                    try await service.credential(credential, for: pod, account: account).expiresIn)
                await eventually { service.read { $0.runningCount == 0 && $0.outbox.isEmpty } }
                clock.advance(by: .seconds(10))
            }
            group.cancelAll()
        }
        #expect(upstream.count(.subject) == upstream.count(.exchange))
        return (remaining, upstream.count(.exchange))
    }

    @Test(
        "cloud case 23 AWS credentials are used until half an hour is left, and none has less than 25 minutes",
        arguments: [0, 0.5, 0.999])
    func aws(jitter: Double) async throws {
        let (remaining, exchanges) = try await use(AWSSecurityTokenService.lifetimes, jitter: jitter)
        // An hour each, of which half is used.
        #expect((5...7).contains(exchanges))
        let least = try #require(remaining.min())
        #expect((1500...1800).contains(least))
        // One credential serves until then.
        #expect(zip(remaining, remaining.dropFirst()).allSatisfy { $1 == $0 - 10 || ($0 <= 1800 && $1 >= 3580) })
    }

    @Test("cloud case 43 tokens of Azure always have at least six minutes", arguments: [0, 0.5, 0.999])
    func azure(jitter: Double) async throws {
        let (remaining, exchanges) = try await use(EntraTokenExchange.lifetimes, jitter: jitter)
        #expect(try #require(remaining.min()) >= 360)
        #expect((3...5).contains(exchanges))
    }
}
