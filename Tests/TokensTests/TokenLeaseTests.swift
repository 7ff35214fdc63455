import Attribution
import Testing

@testable import Tokens

/// While a lease holds, nothing that it is about may have changed.
@Suite(.timeLimit(.minutes(10))) struct TokenLeaseTests {
    private let pod = PodRecord.sample()
    private let account = ServiceAccountRecord.impersonating

    private func leased(_ world: World, _ pod: PodRecord? = nil, scopes: ScopeSet = .default) -> TokenLease? {
        world.service.leaseOnAccessToken(for: pod ?? self.pod, account: account, scopes: scopes)
    }

    /// Runs `body` half a second after a token was minted and its ServiceAccount read.
    private func run(_ body: (World) async throws -> Void) async throws {
        try await World.run { world in
            world.upstream.set(account)
            _ = try await world.service.serviceAccount(of: pod)
            _ = try await world.token(pod, account)
            await world.settled()
            world.clock.advance(by: .milliseconds(500))
            try await body(world)
        }
    }

    @Test("A lease holds while the seconds that remain are the same, and each use is a hit")
    func remainingSeconds() async throws {
        try await run { world in
            world.clock.advance(by: .milliseconds(499))
            #expect(world.service.cachedAccessToken(for: pod, account: account, scopes: .default)?.expiresIn == 3599)
            // Tasks that the clock sets off may end a lease before its time.
            await eventually { leased(world).map(world.service.use) ?? false }
            let lease = try #require(leased(world))
            let hits = world.service.counters.hits
            #expect(world.service.use(lease))
            #expect(world.service.counters.hits == hits + 1)
            world.clock.advance(by: .milliseconds(1))
            #expect(!world.service.use(lease))
            #expect(world.service.counters.hits == hits + 1)
        }
    }

    @Test("There is no lease on what is not cached, nor with another ServiceAccount than the pod's")
    func nothingAtHand() async throws {
        try await run { world in
            #expect(leased(world, scopes: ScopeSet(["other"])) == nil)
            #expect(leased(world, .sample("sibling")) == nil)
            #expect(leased(world, .sample("app", serviceAccount: "other")) == nil)
            #expect(
                world.service.leaseOnAccessToken(for: pod, account: .direct, scopes: .default) == nil,
                "the ServiceAccount reads otherwise now")
        }
    }

    @Test("A ServiceAccount's record that is due to be read again ends the lease, though the token is the same")
    func accountReadDue() async throws {
        try await run { world in
            // Just after a second of the token's life began, so that it is the record whose time comes.
            world.clock.advance(by: .milliseconds(499))
            #expect(leased(world) != nil)
            world.clock.advance(by: .milliseconds(1))
            #expect(leased(world) == nil)
        }
    }

    @Test("A changed annotation ends the lease in the moment in which it is known")
    func changedAnnotation() async throws {
        try await run { world in
            world.clock.advance(by: .milliseconds(600))
            world.upstream.hold(.serviceAccount)
            world.upstream.set(.direct)
            // The record is due: this use starts the read, during which the old one still serves.
            #expect(world.service.cachedServiceAccount(of: pod) == account)
            await world.upstream.called(.serviceAccount)
            let lease = try #require(leased(world))
            #expect(world.service.use(lease))
            world.upstream.letGo(.serviceAccount)
            await eventually { world.service.cachedServiceAccount(of: pod) == .direct }
            #expect(!world.service.use(lease))
            #expect(leased(world) == nil)
        }
    }

    @Test("Another pod's requests end no lease, however many they are and whatever becomes of them")
    func otherPods() async throws {
        try await run { world in
            let lease = try #require(leased(world))
            // One whose requests share no counter with this pod's.
            let other = try #require(
                (0..<1000).lazy.map { PodRecord.sample("other-\($0)") }.first { other in
                    LeaseEpochs().now(for: other.uid).shard != lease.changes.shard
                })
            for number in 0..<100 { _ = world.ask(other, account, scopes: ScopeSet(["\(number)"])) }
            await world.settled()
            #expect(world.service.counters.limited > 0)
            #expect(world.service.use(lease))
            _ = world.ask(pod, account, scopes: ScopeSet(["new"]))
            #expect(!world.service.use(lease))
        }
    }

    @Test("The deadline of another pod's request, answered long before, ends no lease")
    func pastDeadline() async throws {
        try await run { world in
            let limit = TokenServiceConfiguration().waitLimit
            let answers = world.ask(.sample("other"), account, scopes: ScopeSet(["new"]))
            await eventually { !answers.all.isEmpty }
            world.clock.advance(by: limit - .milliseconds(10))
            // The ServiceAccount is due to be read again, and its read ends leases.
            _ = try await world.service.serviceAccount(of: pod)
            await world.settled()
            let lease = try #require(leased(world))
            world.clock.advance(by: .milliseconds(10))
            await world.settled()
            #expect(world.service.use(lease))
        }
    }

    @Test("A pod that goes ends the lease")
    func podGoes() async throws {
        try await run { world in
            let lease = try #require(leased(world))
            world.service.forget(pod.uid)
            #expect(!world.service.use(lease))
            #expect(leased(world) == nil)
        }
    }

    @Test("A refresh that is due leaves no lease, and one that ends ends it")
    func rotation() async throws {
        try await run { world in
            world.clock.advance(by: .seconds(3600 - 720))
            _ = try await world.service.serviceAccount(of: pod)
            #expect(leased(world) == nil, "the next use has to start the refresh")
            world.upstream.hold(.exchange)
            let old = world.service.cachedAccessToken(for: pod, account: account, scopes: .default)
            await world.upstream.called(.exchange)
            // The sweep that is due by then ends leases too, once.
            let leases = Answers<TokenLease>()
            await eventually {
                guard let lease = leased(world), world.service.use(lease) else { return false }
                leases.append(lease)
                return true
            }
            world.upstream.letGo(.exchange)
            await eventually {
                world.service.cachedAccessToken(for: pod, account: account, scopes: .default)?.token != old?.token
            }
            let lease = await leases.first
            #expect(!world.service.use(lease))
        }
    }

    @Test("The end of the service ends every lease")
    func stop() async throws {
        let service = try await withLease { world, lease in
            #expect(world.service.use(lease))
            return (world.service, lease)
        }
        #expect(!service.0.use(service.1))
    }

    private func withLease<Value>(_ body: (World, TokenLease) -> Value) async throws -> Value {
        var value: Value?
        try await run { world in value = body(world, try #require(leased(world))) }
        return try #require(value)
    }
}
