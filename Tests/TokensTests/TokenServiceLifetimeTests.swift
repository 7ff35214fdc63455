import Attribution
import Testing

@testable import Tokens

/// Refreshing, failing, running out of time. Tokens live an hour; with jitter 0 they are refreshed at 12 minutes left.
@Suite(.timeLimit(.minutes(10))) struct TokenServiceLifetimeTests {
    private let pod = PodRecord.sample()
    private let account = ServiceAccountRecord.direct

    private func cached(_ world: World) -> String? {
        world.service.cachedAccessToken(for: pod, account: account, scopes: .default)?.token.exposed
    }

    @Test func aUsedTokenIsRefreshedInTheBackground() async throws {
        try await World.run { world in
            let old = try await world.token(pod, account).token.exposed
            await world.settled()
            world.clock.advance(by: .seconds(3600 - 721))
            #expect(cached(world) == old)
            #expect(world.service.counters.backgroundRefreshes == 0)
            world.clock.advance(by: .seconds(1))
            #expect(cached(world) == old)
            await eventually { cached(world) != old }
            #expect(world.service.counters.backgroundRefreshes == 1)
            #expect(world.upstream.count(.exchange) == 2)
            #expect(world.upstream.count(.subject) == 2)
        }
    }

    @Test func anUnusedTokenIsNeverRefreshedAndGoes() async throws {
        try await World.run { world in
            _ = try await world.token(pod, account)
            await world.settled()
            for _ in 0..<130 {
                await world.clock.sleeper(until: world.clock.now + .seconds(30))
                world.clock.advance(by: .seconds(30))
            }
            await eventually { world.service.snapshot().isEmpty }
            #expect(world.upstream.count(.exchange) == 1)
            await eventually { world.service.read { $0.pods.isEmpty } }
        }
    }

    @Test func `case 74 little life left and a healthy upstream give a new token`() async throws {
        try await World.run { world in
            let old = try await world.token(pod, account)
            world.clock.advance(by: .seconds(3300))
            #expect(cached(world) == nil)
            let new = try await world.token(pod, account)
            #expect(new.token != old.token)
            #expect(new.expiresIn == 3600)
        }
    }

    @Test func `case 75 little life left and a failing upstream give what is left`() async throws {
        try await World.run { world in
            let old = try await world.token(pod, account)
            await world.settled()
            world.clock.advance(by: .seconds(3420))
            world.upstream.fail(.exchange, with: .sts(.denied, 403))
            let same = try await world.token(pod, account)
            #expect(same.token == old.token)
            #expect(same.expiresIn == 180)
            await world.settled()
            // Known to fail: no caller waits again.
            #expect(cached(world) != nil)
            world.clock.advance(by: .seconds(121))
            #expect(await world.ask(pod, account).failure != nil)
        }
    }

    @Test func littleLifeLeftAndAHangingUpstreamGiveWhatIsLeft() async throws {
        try await World.run { world in
            let old = try await world.token(pod, account)
            await world.settled()
            world.clock.advance(by: .seconds(3420))
            world.upstream.hold(.exchange)
            let waiting = world.ask(pod, account)
            #expect(waiting.isEmpty)
            await world.clock.sleeper(until: world.clock.now + .milliseconds(2_900))
            world.clock.advance(by: .milliseconds(2_900))
            #expect(await waiting.token == old.token.exposed)
            #expect(cached(world) == old.token.exposed)
            #expect(world.service.counters.timedOut == 0)
        }
    }

    @Test func aWaitEndsInTimeAndItsFetchServesTheNext() async throws {
        try await World.run { world in
            world.upstream.hold(.exchange)
            let waiting = world.ask(pod, account)
            await world.upstream.called(.exchange)
            await world.clock.sleeper(until: world.clock.now + .milliseconds(2_900))
            world.clock.advance(by: .milliseconds(2_899))
            #expect(waiting.isEmpty)
            world.clock.advance(by: .milliseconds(1))
            #expect(await waiting.failure == .timedOut(stage: "Google STS"))
            world.upstream.letGo(.exchange)
            await eventually { cached(world) != nil }
            #expect(world.upstream.count(.exchange) == 1)
        }
    }

    @Test func aWaitThatEndsBetweenAttemptsTellsWhyTheyFailed() async throws {
        try await World.run { world in
            let start = world.clock.now
            world.upstream.failNext(.exchange, with: .sts(.unavailable, 503))
            let waiting = world.ask(pod, account)
            await world.clock.sleeper(until: start + .milliseconds(50))
            world.upstream.hold(.exchange)
            world.clock.advance(by: .milliseconds(50))
            await world.upstream.called(.exchange, 2)
            await world.clock.sleeper(until: start + .milliseconds(2_900))
            world.clock.advance(by: .milliseconds(2_850))
            guard case .upstream(let failure, _, _) = await waiting.failure else {
                Issue.record("a timeout that hides its cause")
                return
            }
            #expect(failure == .sts(.unavailable, 503, retryAfter: .seconds(1)))
        }
    }

    @Test func laterWaitersHaveTheirOwnFullTime() async throws {
        try await World.run { world in
            world.upstream.hold(.exchange)
            let first = world.ask(pod, account)
            let start = world.clock.now
            await world.clock.sleeper(until: start + .milliseconds(2_900))
            world.clock.advance(by: .seconds(1))
            let second = world.ask(pod, account)
            world.clock.advance(by: .milliseconds(1_900))
            _ = await first.failure
            #expect(second.isEmpty)
            await world.clock.sleeper(until: start + .milliseconds(3_900))
            world.clock.advance(by: .seconds(1))
            #expect(await second.failure == .timedOut(stage: "Google STS"))
        }
    }

    @Test func aFetchThatHangsForEverEndsAtItsDeadline() async throws {
        try await World.run { world in
            let start = world.clock.now
            world.upstream.hold(.exchange)
            let first = world.ask(pod, account)
            await world.upstream.called(.exchange)
            await world.clock.sleeper(until: start + .seconds(15))
            world.clock.advance(by: .seconds(15))
            _ = await first.failure
            await eventually { world.service.snapshot().contains { $0.state == "failed" } }
            let failure = world.service.snapshot().first?.lastFailure
            #expect(failure?.upstream == .securityTokenService)
            #expect(failure?.kind == .unavailable)
            // The late result is nobody's.
            world.upstream.letGo(.exchange)
            await world.settled()
            #expect(cached(world) == nil)
            world.clock.advance(by: .seconds(2))
            #expect(await world.ask(pod, account).token != nil)
        }
    }

    @Test func refusalsAreRememberedForSecondsAndNamed() async throws {
        try await World.run { world in
            let account = ServiceAccountRecord.impersonating
            world.upstream.fail(.accessToken, with: .iam(.denied, 403, "Permission denied"))
            let expected = TokenFailure.upstream(
                .iam(.denied, 403, "Permission denied"), account: ServiceAccountReference(of: pod),
                googleServiceAccount: "gsa@p.iam.gserviceaccount.com")
            #expect(await world.ask(pod, account).failure == expected)
            #expect(await world.ask(pod, account).failure == expected)
            #expect(world.upstream.count(.accessToken) == 1)
            #expect(world.service.counters.rememberedFailures == 1)
            // Granted: within 8 s (jitter 0) it works, and the federated token is still there.
            world.upstream.fail(.accessToken, with: nil)
            world.clock.advance(by: .seconds(8))
            #expect(await world.ask(pod, account).token != nil)
            #expect(world.upstream.count(.exchange) == 1)
        }
    }

    @Test func aFederatedTokenThatIAMDoesNotKnowIsExchangedAnew() async throws {
        try await World.run { world in
            world.upstream.failNext(.accessToken, with: .iam(.denied, 401))
            #expect(await world.ask(pod, .impersonating).token != nil)
            #expect(world.upstream.count(.exchange) == 2)
            #expect(world.service.counters.retries[.iamCredentials] == 1)
            let failures = world.reports.all.filter { $0.failure != nil }
            #expect(failures.isEmpty)
        }
    }

    @Test func aFederatedTokenIsExchangedAnewOnceAFetch() async throws {
        try await World.run { world in
            world.upstream.fail(.accessToken, with: .iam(.denied, 401))
            #expect(await world.ask(pod, .impersonating).failure != nil)
            #expect(world.upstream.count(.exchange) == 2)
            #expect(world.upstream.count(.accessToken) == 2)
            world.upstream.fail(.accessToken, with: nil)
            world.clock.advance(by: .seconds(12))
            #expect(await world.ask(pod, .impersonating).token != nil)
            #expect(world.upstream.count(.exchange) == 3)
        }
    }

    @Test func fetchesThatWaitForOneFederatedTokenGoOnInTheirOrder() async throws {
        try await World.run({ $0.fetchesPerPod = 1 }) { world in
            world.upstream.hold(.exchange)
            let audiences = (0..<8).map { "audience-\($0)" }
            let asked = audiences.map { world.askIdentity(pod, .impersonating, audience: $0) }
            await world.upstream.called(.exchange)
            world.upstream.letGo(.exchange)
            for answer in asked { #expect(await answer.token != nil) }
            let called = world.upstream.calls.filter { $0.step == .identityToken }.compactMap(\.audience)
            #expect(called == audiences)
        }
    }

    @Test func aFailedFederationFailsWhatNeedsIt() async throws {
        try await World.run { world in
            world.upstream.fail(.exchange, with: .sts(.misconfigured, 400, "invalid_target"))
            world.upstream.hold(.exchange)
            let first = world.ask(pod, .impersonating)
            let second = world.askIdentity(pod, .impersonating, audience: "a")
            await world.upstream.called(.exchange)
            world.upstream.letGo(.exchange)
            for answer in [first, second] {
                guard case .upstream(let failure, _, let google) = await answer.failure else {
                    Issue.record("not an upstream failure")
                    continue
                }
                #expect(failure.message == "invalid_target")
                #expect(google == "gsa@p.iam.gserviceaccount.com")
            }
            #expect(world.upstream.count(.exchange) == 1)
            #expect(world.upstream.count(.accessToken) == 0)
            // A third kind of token fails at once with what is remembered.
            #expect(await world.askIdentity(pod, .impersonating, audience: "b").failure != nil)
            #expect(world.upstream.count(.exchange) == 1)
        }
    }

    @Test func forgettingAPodFailsItsWaitersAndStoresNothing() async throws {
        try await World.run { world in
            let other = PodRecord.sample("other")
            _ = try await world.token(other, account)
            world.upstream.hold(.exchange, of: PodRecord.sample().uid.description)
            let waiting = world.ask(pod, account)
            await world.upstream.called(.exchange, of: PodRecord.sample().uid.description)
            world.service.forget(pod.uid)
            #expect(await waiting.failure == .podGone)
            world.upstream.letGo(.exchange, of: PodRecord.sample().uid.description)
            await world.settled()
            #expect(world.service.snapshot().map(\.pod) == [other.uid])
            #expect(world.service.counters.tokenFetches[.discarded] == 1)
            #expect(world.service.cachedAccessToken(for: other, account: account, scopes: .default) != nil)
            // Requests that were attributed before the pod went find nothing either.
            #expect(await world.ask(pod, account).failure == .podGone)
            #expect(await world.askAccount(pod).first == .failure(.podGone))
        }
    }

    @Test func forgettingDropsCachedTokensAtOnce() async throws {
        try await World.run { world in
            _ = try await world.token(pod, account)
            world.service.forget(pod.uid)
            #expect(cached(world) == nil)
            #expect(world.service.snapshot().isEmpty)
        }
    }
}
