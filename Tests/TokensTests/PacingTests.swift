import Attribution
import Testing

@testable import Tokens

/// The share of a quota that an agent learns from refusals.
@Suite struct ExchangePaceTests {
    private let start = ContinuousClock.now
    private let refusal = UpstreamFailure.sts(.rateLimited, 429)

    private func pace() -> ExchangePace { ExchangePace(PacingPolicy(), now: start) }

    @Test func withoutARefusalNothingWaits() {
        var pace = pace()
        pace.started(at: start, jitter: 1)
        #expect(pace.pauseEnd(at: start) == nil)
        #expect(!pace.isSpaced(at: start))
    }

    @Test func refusalsDoubleThePauseUpToTheLongest() {
        var (pace, now, pauses) = (pace(), start, [Duration]())
        for _ in 0..<9 {
            pace.refused(refusal, startedAt: now, at: now + .milliseconds(1), jitter: 0.5)
            let end = pace.pauseEnd(at: now) ?? now
            pauses.append(end - now - .milliseconds(1))
            now = end
        }
        let seconds: [Double] = [0.5, 1, 2, 4, 8, 16, 32, 40, 40]
        #expect(pauses == seconds.map { .seconds($0) })
    }

    @Test func successesInARowSoonHaveTheWholeLine() {
        var (pace, now, count) = (pace(), start, 0)
        for _ in 0..<9 {
            pace.refused(refusal, startedAt: now, at: now + .milliseconds(1), jitter: 0.5)
            now = pace.pauseEnd(at: now) ?? now
        }
        while pace.pauseEnd(at: now) != nil || count == 0 {
            pace.started(at: now, jitter: 0.5)
            pace.succeeded(startedAt: now)
            now = pace.pauseEnd(at: now) ?? now
            count += 1
            if count > 20 { break }
        }
        #expect(count <= 8)
        #expect(now - start < .seconds(350))
    }

    /// The two figures of docs/scale.md; the simulation allows the greater one.
    @Test(arguments: [(0.5, 126, 127), (1.0, 189, 190)])
    func afterTheLongestPausesAQuotaIsFoundFree(jitter: Double, above: Int, below: Int) {
        var (pace, now, refusedAt, count) = (pace(), start, start, 0)
        for _ in 0..<9 {
            refusedAt = now + .milliseconds(1)
            pace.refused(refusal, startedAt: now, at: refusedAt, jitter: jitter)
            now = pace.pauseEnd(at: now) ?? now
        }
        while pace.isSpacing(at: now), count < 20 {
            pace.started(at: now, jitter: jitter)
            pace.succeeded(startedAt: now)
            now = pace.pauseEnd(at: now) ?? now
            count += 1
        }
        #expect(count == 5)
        #expect(now - refusedAt > .seconds(above))
        #expect(now - refusedAt < .seconds(below))
    }

    @Test func callsThatAreRefusedTogetherMakeThePauseLongerOnce() throws {
        var pace = pace()
        // Ten calls begin at once, and are refused one after the other.
        for number in 1...10 {
            let now = start + .milliseconds(number)
            pace.refused(refusal, startedAt: start, at: now, jitter: 0.5)
            #expect(pace.pauseEnd(at: now) == now + .milliseconds(500))
        }
        // A late refusal may still name a later moment.
        let asked = UpstreamFailure.sts(.rateLimited, 429, retryAfter: .seconds(3))
        pace.refused(asked, startedAt: start, at: start + .milliseconds(11), jitter: 0.5)
        let next = try #require(pace.pauseEnd(at: start + .milliseconds(11)))
        #expect(next == start + .milliseconds(3011))
        // A call that was made at this pause makes the next one longer.
        pace.refused(refusal, startedAt: next, at: next + .milliseconds(1), jitter: 0.5)
        #expect(pace.pauseEnd(at: next + .milliseconds(1)) == next + .milliseconds(1001))
    }

    @Test func callsThatBeganBeforeARefusalDoNotShortenItsPause() {
        var pace = pace()
        let now = start + .milliseconds(1)
        pace.refused(refusal, startedAt: start, at: now, jitter: 0.5)
        for _ in 0..<9 { pace.succeeded(startedAt: start) }
        #expect(pace.pauseEnd(at: now) == now + .milliseconds(500))
        pace.succeeded(startedAt: now + .milliseconds(500))
        #expect(pace.pauseEnd(at: now) == nil)
    }

    @Test func retryAfterIsFollowed() {
        var pace = pace()
        pace.refused(.sts(.rateLimited, 429, retryAfter: .seconds(20)), startedAt: start, at: start, jitter: 0)
        #expect(pace.pauseEnd(at: start) == start + .seconds(20))
    }

    @Test func refreshesWaitForAWhileAfterARefusal() {
        var pace = pace()
        pace.refused(refusal, startedAt: start, at: start, jitter: 0)
        for _ in 0..<9 { pace.succeeded(startedAt: start + .milliseconds(1)) }
        #expect(pace.isSpaced(at: start + .seconds(899)))
        #expect(pace.pauseEnd(at: start) == nil)
        #expect(!pace.isSpaced(at: start + .seconds(900)))
    }
}

/// The token table under the pace of STS. The refusals name a moment beyond the fetch, so that the fetch repeats none.
@Suite(.timeLimit(.minutes(10))) struct PacingTests {
    private let account = ServiceAccountRecord.direct

    @Test func aRefusedFetchGoesOnWithoutItsCaller() async throws {
        try await World.run { world in
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .milliseconds(2_100)))
            let pod = PodRecord.sample()
            await #expect(throws: TokenFailure.self) { try await world.token(pod, account) }
            #expect(world.upstream.count(.exchange) == 1)
            // No pod asks; the pace alone starts the fetch again.
            await world.clock.sleeper(until: world.clock.now + .milliseconds(2_100))
            world.clock.advance(by: .milliseconds(2_100))
            await eventually { world.service.cachedAccessToken(for: pod, account: account, scopes: .default) != nil }
            #expect(world.upstream.count(.exchange) == 2)
            #expect(world.service.read { $0.pacedUntil } == nil)
            // Operators learn of the refusal, as of any other.
            #expect(world.service.counters.tokenFetches == [.failed(.rateLimited): 1, .succeeded: 1])
            await eventually { world.reports.all.count == 2 }
            #expect(world.reports.all.map { $0.failure?.kind } == [.rateLimited, nil])
        }
    }

    @Test func aPaceThatNoFetchWaitsForIsForgotten() async throws {
        try await World.run { world in
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .milliseconds(2_100)))
            let pod = PodRecord.sample()
            await #expect(throws: TokenFailure.self) { try await world.token(pod, account) }
            world.service.forget(pod.uid)
            for (seconds, count) in [(899, 1), (900, 0)] {
                let moment = world.clock.now + .seconds(seconds)
                world.service.update { table, _ in table.sweep(now: moment) }
                #expect(world.service.read { $0.paces.count } == count)
            }
        }
    }

    @Test func aRefreshThatWaitsLongKeepsNoOtherPodFromItsMoment() async throws {
        try await World.run { world in
            let (first, second) = (PodRecord.sample("a"), PodRecord.sample("b"))
            _ = try await world.token(first, account)
            world.clock.advance(by: .seconds(2_900))
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .milliseconds(2_100)))
            // The refresh is refused, and waits for minutes.
            #expect(world.service.cachedAccessToken(for: first, account: account, scopes: .default) != nil)
            await eventually { world.service.read { $0.pacedWakes.count } == 1 }
            let answers = world.ask(second, account)
            await world.clock.sleeper(until: world.clock.now + .milliseconds(2_100))
            world.clock.advance(by: .milliseconds(2_100))
            #expect(await answers.token != nil)
        }
    }

    /// Pods without a token need the quota more. What waits is the refresh, and no caller.
    @Test func aRefreshWaitsForItsTokensLastMinutesAndItsCallersDoNot() async throws {
        try await World.run { world in
            let (first, second) = (PodRecord.sample("a"), PodRecord.sample("b"))
            let old = try await world.token(first, account)
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .milliseconds(2_100)))
            // Five minutes before the token's end another pod meets the quota.
            world.clock.advance(by: .seconds(3_300))
            await #expect(throws: TokenFailure.self) { try await world.token(second, account) }
            world.service.forget(second.uid)
            let calls = world.upstream.count(.exchange)
            for _ in 0..<3 { #expect(await world.ask(first, account).token == old.token.exposed) }
            #expect(world.upstream.count(.exchange) == calls)
            // Two minutes before the end nothing waits any more; half a second is the turn of one call.
            for milliseconds in [2_100, 177_400] {
                await world.clock.sleeper(until: world.clock.now + .milliseconds(milliseconds))
                world.clock.advance(by: .milliseconds(milliseconds))
            }
            await eventually {
                let token = world.service.cachedAccessToken(for: first, account: account, scopes: .default)
                return token != nil && token?.token.exposed != old.token.exposed
            }
            #expect(world.upstream.count(.exchange) == calls + 1)
        }
    }

    @Test func refreshesThatWaitInOneQueueStartSoEarlyThatTheLastIsInTime() async throws {
        try await World.run { configuration in
            configuration.pacing?.firstPause = .seconds(16)
        } body: { world in
            let (pods, other) = ((0..<20).map { PodRecord.sample("pod-\($0)") }, PodRecord.sample("other"))
            for pod in pods { _ = try await world.token(pod, account) }
            world.clock.advance(by: .seconds(3_000))
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .milliseconds(2_100)))
            await #expect(throws: TokenFailure.self) { try await world.token(other, account) }
            world.service.forget(other.uid)
            for pod in pods {
                #expect(world.service.cachedAccessToken(for: pod, account: account, scopes: .default) != nil)
            }
            // Each of the 20 takes 16 s: the twentieth starts 60 s and its turn before the use of its token ends.
            #expect(world.service.read { $0.pacedUntil } == world.clock.now + .seconds(540 - 60 - 20 * 16))
        }
    }
}
