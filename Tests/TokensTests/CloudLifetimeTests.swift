import AWSSecurityTokenService
import Attribution
import EntraTokenExchange
import Testing

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
@Suite(.timeLimit(.minutes(10))) struct CloudLifetimeTests {
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
        let (remaining, exchanges) = try await use(AWSTokenService.lifetimes, jitter: jitter)
        // An hour each, of which half is used.
        #expect((5...7).contains(exchanges))
        let least = try #require(remaining.min())
        #expect((1500...1800).contains(least))
        // One credential serves until then.
        #expect(zip(remaining, remaining.dropFirst()).allSatisfy { $1 == $0 - 10 || ($0 <= 1800 && $1 >= 3580) })
    }

    @Test("cloud case 43 tokens of Azure always have at least six minutes", arguments: [0, 0.5, 0.999])
    func azure(jitter: Double) async throws {
        let (remaining, exchanges) = try await use(EntraTokenService.lifetimes, jitter: jitter)
        #expect(try #require(remaining.min()) >= 360)
        #expect((3...5).contains(exchanges))
    }

    @Test(
        "no failure of a refresh, of whatever kind, is answered while a valid credential is here",
        arguments: UpstreamFailure.Kind.allCases)
    func failures(kind: UpstreamFailure.Kind) async throws {
        for lifetimes in [AWSTokenService.lifetimes, EntraTokenService.lifetimes] {
            let (clock, upstream, name) = (ManualClock(), FakeUpstream(), CloudName("other"))
            let cloud = FakeCloud(cloud: name, lifetimes: lifetimes, upstream: upstream)
            let service = TokenService(
                issuer: upstream, accounts: upstream, exchanger: upstream, clouds: [cloud], clock: clock, jitter: { 0 })
            /// Asks, and lets time pass until there is an answer: repetitions and limits wait for it.
            func ask() async -> Result<ServedToken, TokenFailure>? {
                let answers = Answers<Result<ServedToken, TokenFailure>>()
                let key = TokenKey(pod: pod.uid, account: account, credential: credential)
                _ = service.requestToken(key, for: pod, account: account, completion: answers.append)
                while answers.isEmpty, !Task.isCancelled {
                    clock.advance(by: .milliseconds(10))
                    await Task.yield()
                }
                return answers.all.first
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await service.run() }
                let first = try await service.credential(credential, for: pod, account: account)
                let end = clock.now + .seconds(first.expiresIn)
                upstream.fail(.exchange, with: UpstreamFailure(upstream: .cloud(name), kind: kind, message: "no"))
                var served = 0
                while clock.now < end - .seconds(75) {
                    clock.advance(by: .seconds(10))
                    switch await ask() {
                    case .success(let token):
                        #expect(token.token == first.token)
                        served += 1
                    case .failure, nil: #expect(clock.now > end - .seconds(61), "an error with life left")
                    }
                }
                // Refreshes run beside this loop, and may be behind it.
                while upstream.count(.exchange) <= 2, !Task.isCancelled {
                    _ = await ask()
                    clock.advance(by: .milliseconds(1))
                    await Task.yield()
                }
                #expect(served > 100 && upstream.count(.exchange) > 2)
                clock.advance(by: .seconds(120))
                guard case .failure? = await ask() else {
                    Issue.record("a credential that has ended was served")
                    return
                }
                group.cancelAll()
            }
        }
    }

    @Test("a pod that asks for new resources without end keeps a bounded number, and another pod keeps its own")
    func resources() async throws {
        var configuration = TokenServiceConfiguration()
        configuration.fetchRatePerPod = 1_000_000
        configuration.fetchBurstPerPod = 1_000_000
        configuration.cloudCredentialsPerPod = 8
        let (clock, upstream, other) = (ManualClock(), FakeUpstream(), PodRecord.sample("other"))
        let cloud = FakeCloud(
            cloud: CloudName("other"), lifetimes: EntraTokenService.lifetimes, upstream: upstream)
        let service = TokenService(
            configuration: configuration, issuer: upstream, accounts: upstream, exchanger: upstream, clouds: [cloud],
            clock: clock, jitter: { 0 })
        func resource(_ number: Int) -> CloudCredential {
            CloudCredential(identity: credential.identity, resource: "https://\(number).example")
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await service.run() }
            _ = try await service.credential(resource(0), for: other, account: account)
            for number in 0..<1000 {
                _ = try await service.credential(resource(number), for: pod, account: account)
                clock.advance(by: .microseconds(1))
            }
            #expect(service.snapshot().count { $0.pod == pod.uid } == 8)
            #expect(service.counters.evicted == 992)
            #expect(service.holds(resource(992), for: pod, account: account))
            #expect(!service.holds(resource(991), for: pod, account: account))
            #expect(service.holds(resource(0), for: other, account: account))
            group.cancelAll()
        }
    }
}
