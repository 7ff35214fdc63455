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
        #expect(pace.isSpaced(at: start + .seconds(299)))
        #expect(pace.pauseEnd(at: start) == nil)
        #expect(!pace.isSpaced(at: start + .seconds(300)))
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
            #expect(world.service.counters.tokenFetches == [.rateLimited: 1, .succeeded: 1])
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
            for (seconds, count) in [(299, 1), (300, 0)] {
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
}
