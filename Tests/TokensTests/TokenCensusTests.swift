import Attribution
import Testing

@testable import Tokens

/// The numbers by which tables are held against their limits.
@Suite(.timeLimit(.minutes(10))) struct TokenCensusTests {
    private let pod = PodRecord.sample()
    private let other = PodRecord.sample("other")
    private let account = ServiceAccountRecord.impersonating

    @Test func everyKindIsCountedForItsPod() async throws {
        try await World.run { world in
            _ = try await world.token(pod, account)
            for audience in ["a", "b"] {
                _ = try await world.service.identityToken(for: pod, account: account, audience: audience)
            }
            for audience in ["a", "b", "c"] { _ = try await world.podToken(other, account, audience: audience) }
            var expected = PodHoldings()
            (expected.accessTokens, expected.identityTokens, expected.federatedTokens) = (1, 2, 1)
            #expect(world.service.holdings(of: pod.uid) == expected)
            // The most of each kind, whichever pod has it.
            expected.podTokens = 3
            let census = world.service.census()
            #expect(census.most == expected)
            #expect(census.tokens == 7)
            #expect([census.serviceAccounts, census.paces, census.departedPods] == [0, 0, 0])
        }
    }

    @Test func whatWaitsIsCountedUntilItIsAnswered() async throws {
        try await World.run { world in
            world.upstream.hold(.exchange)
            let answers = (0..<3).map { _ in world.ask(pod, account) }
            let holdings = world.service.holdings(of: pod.uid)
            #expect([holdings.waiting, holdings.fetches] == [3, 1])
            world.upstream.letGo(.exchange)
            for answer in answers { #expect(await answer.token != nil) }
            let rest = world.service.holdings(of: pod.uid)
            #expect([rest.waiting, rest.fetches] == [0, 0])
        }
    }

    @Test func aPodThatWentHasNothingAndIsForgotten() async throws {
        try await World.run { world in
            _ = try await world.token(pod, account)
            world.service.forget(pod.uid)
            #expect(world.service.holdings(of: pod.uid) == PodHoldings())
            for (milliseconds, count) in [(2_899, 1), (2_900, 0)] {
                let moment = world.clock.now + .milliseconds(milliseconds)
                world.service.update { table, _ in table.sweep(now: moment) }
                #expect(world.service.census().departedPods == count)
            }
        }
    }

    @Test func aQuotaIsSpacedUntilACallShowsThatItIsFree() async throws {
        try await World.run { world in
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .milliseconds(2_100)))
            await #expect(throws: TokenFailure.self) { try await world.token(pod, .direct) }
            let refused = PacedQuota(upstream: .securityTokenService, target: nil, isSpacing: true)
            #expect(world.service.pacedQuotas() == [refused])
            #expect(world.service.census().paces == 1)
            await world.clock.sleeper(until: world.clock.now + .milliseconds(2_100))
            world.clock.advance(by: .milliseconds(2_100))
            await eventually {
                world.service.cachedAccessToken(for: pod, account: .direct, scopes: .default) != nil
            }
            // The pace is kept for refreshes alone.
            #expect(world.service.pacedQuotas().map(\.isSpacing) == [false])
        }
    }
}
