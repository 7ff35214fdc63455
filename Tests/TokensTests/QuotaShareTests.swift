import Attribution
import Testing

@testable import Tokens

/// The pace of a node that was told its share of a quota: 72 exchanges an hour are one in 50 s.
@Suite struct QuotaShareTests {
    private let start = ContinuousClock.now
    private let refusal = UpstreamFailure.sts(.rateLimited, 429)
    private var policy: PacingPolicy {
        var policy = PacingPolicy()
        policy.exchangesPerHour = 72
        return policy
    }

    private func pace(jitter: Double = 0) throws -> ExchangePace {
        let share = try #require(policy.share(of: .securityTokenService))
        return ExchangePace(policy, share: share, now: start, jitter: jitter)
    }

    @Test func theFirstCallIsSomewhereInTheFirstInterval() throws {
        #expect(try pace().pauseEnd(at: start) == nil)
        #expect(try pace(jitter: 0.5).pauseEnd(at: start) == start + .seconds(25))
    }

    @Test func callsKeepToTheShare() throws {
        var (pace, now) = (try pace(), start)
        pace.started(at: now, jitter: 0.5)
        #expect(pace.pauseEnd(at: now) == start + .seconds(50))
        now = start + .seconds(50)
        #expect(pace.pauseEnd(at: now) == nil)
        pace.started(at: now, jitter: 0.5)
        #expect(pace.pauseEnd(at: now) == start + .seconds(100))
    }

    @Test func anIdleNodeHasAMinuteOfItsShareLeft() throws {
        var pace = try pace()
        let now = start + .seconds(3_600)
        pace.started(at: now, jitter: 0.5)
        #expect(pace.pauseEnd(at: now) == nil)
        pace.started(at: now, jitter: 0.5)
        #expect(pace.pauseEnd(at: now) == now + .seconds(40))
    }

    /// Others may need now what they left: as many calls are left after an hour as after a short rest.
    @Test(arguments: [50, 3_600])
    func aNodeThatBorrowedAndRestedHasNoBurst(rest: Int) throws {
        var (pace, now) = (try pace(), start)
        for _ in 0..<20 { pace.succeeded(startedAt: now) }
        pace.started(at: now, jitter: 0.5)
        now += .seconds(rest)
        var calls = 0
        while pace.pauseEnd(at: now) == nil, calls < 100 {
            pace.started(at: now, jitter: 0.5)
            calls += 1
        }
        #expect(calls == 2)
    }

    @Test func aCallThatNeverCameThereTakesNothing() throws {
        var pace = try pace()
        pace.started(at: start, jitter: 0.5)
        pace.returned()
        #expect(pace.pauseEnd(at: start) == nil)
    }

    @Test func refusalsOfCallsThatRanTogetherAreOne() throws {
        var pace = try pace()
        for _ in 0..<20 { pace.succeeded(startedAt: start) }
        for _ in 0..<10 {
            pace.refused(refusal, startedAt: start, at: start + .milliseconds(100), jitter: 0.5)
        }
        #expect(pace.length(of: 1) == .seconds(50) / 8)
        // The next success ends what callers are told.
        #expect(pace.refusal == refusal)
        pace.succeeded(startedAt: start + .seconds(1))
        #expect(pace.refusal == nil)
    }

    @Test func whatOthersLeaveIsBorrowedAndGivenBack() throws {
        var share = try #require(policy.share(of: .securityTokenService))
        for _ in 0..<6 { share.succeeded(at: start) }
        let borrowing = share.pause
        #expect(borrowing < .seconds(10))
        share.refused(at: start, jitter: 0.5)
        #expect(share.pause > borrowing && share.pause < .seconds(50))
        // For a minute the node does not go beyond what it has left.
        let kept = share.pause
        for _ in 0..<4 { share.succeeded(at: start + .seconds(59)) }
        #expect(share.pause == kept)
        share.succeeded(at: start + .seconds(61))
        #expect(share.pause < kept)
    }

    @Test func anUpstreamThatDoesNotAnswerGetsNoMoreThanTheShare() throws {
        var share = try #require(policy.share(of: .securityTokenService))
        for _ in 0..<20 { share.succeeded(at: start) }
        #expect(share.pause == .seconds(50) / 16)
        for _ in 0..<4 { share.failed(at: start) }
        #expect(share.pause == .seconds(50))
        share.succeeded(at: start + .seconds(59))
        #expect(share.pause == .seconds(50))
        share.succeeded(at: start + .seconds(60))
        #expect(share.pause < .seconds(50))
    }

    /// Nodes that borrow are to give way first.
    @Test func oneRefusalAtTheSharesOwnPaceChangesNothing() throws {
        var share = try #require(policy.share(of: .securityTokenService))
        share.refused(at: start, jitter: 0.5)
        #expect(share.pause == .seconds(50))
        for _ in 0..<9 { share.refused(at: start, jitter: 0.5) }
        #expect(share.pause == .seconds(75))
        share.succeeded(at: start)
        #expect(share.pause == .seconds(50))
    }

    @Test func onlyTheQuotaOfSTSIsShared() {
        #expect(policy.share(of: .iamCredentials) == nil)
        #expect(PacingPolicy().share(of: .securityTokenService) == nil)
    }

    /// The tokens that a predecessor handed over make no pod new.
    @Test func fetchesArePacedWhateverPodsThereWere() async throws {
        try await World.run { configuration in
            configuration.pacing?.exchangesPerHour = 3_600
        } body: { world in
            world.service.update { table, now in table.startFetches(now: now) }
            #expect(world.service.read { $0.paces.count } == 1)
            // Nothing makes the agent forget its share.
            let later = world.clock.now + .seconds(7_200)
            world.service.update { table, _ in table.sweep(now: later) }
            #expect(world.service.read { $0.paces.count } == 1)
        }
    }

    /// The share counts from the agent's start: a pod that comes an hour later waits for nothing.
    @Test func aPodThatComesLateIsServedAtOnce() async throws {
        try await World.run { configuration in
            configuration.pacing?.exchangesPerHour = 72
        } body: { world in
            world.clock.advance(by: .seconds(3_600))
            #expect(await world.ask(.sample("a"), .direct).token != nil)
            #expect(world.upstream.count(.exchange) == 1)
        }
    }

    @Test func aRefusedTokenRequestTakesNothingOfTheShare() async throws {
        try await World.run { configuration in
            configuration.pacing?.exchangesPerHour = 72
        } body: { world in
            world.clock.advance(by: .seconds(3_600))
            world.upstream.failNext(.subject, with: .kubernetes(.denied, 403))
            #expect(await world.ask(.sample("a"), .direct).token == nil)
            #expect(await world.ask(.sample("b"), .direct).token != nil)
            #expect(world.upstream.count(.exchange) == 1)
        }
    }

    /// The upstream names a moment within the fetch, which calls again by itself and gets its token.
    @Test func aRefusalThatTheFetchRepeatsIsLearntFrom() async throws {
        try await World.run { configuration in
            configuration.pacing?.exchangesPerHour = 72
        } body: { world in
            world.clock.advance(by: .seconds(3_600))
            world.upstream.failNext(.exchange, with: .sts(.rateLimited, 429, retryAfter: .seconds(1)))
            let answers = world.ask(.sample("a"), .direct)
            let moment = world.clock.now + .seconds(1)
            await world.clock.sleeper(until: moment)
            let refused = world.service.read { Array($0.paces.values) }
            #expect(refused.map { $0.defersRefreshes(at: moment) } == [true])
            world.clock.advance(by: .seconds(1))
            #expect(await answers.token != nil)
            #expect(world.upstream.count(.exchange) == 2)
            // The success ends what callers are told, and not what was learnt.
            let paces = world.service.read { Array($0.paces.values) }
            #expect(paces.map(\.refusal) == [nil])
            #expect(paces.map { $0.defersRefreshes(at: moment) } == [true])
        }
    }

    @Test func theFirstPodsOfAnAgentAreServedInTurn() async throws {
        try await World.run { configuration in
            configuration.pacing?.exchangesPerHour = 3_600
        } body: { world in
            let account = ServiceAccountRecord.direct
            let (first, second) = (world.ask(.sample("a"), account), world.ask(.sample("b"), account))
            // Jitter is 0 here: the pause is half of the share's.
            let moment = world.clock.now + .milliseconds(500)
            await world.clock.sleeper(until: moment)
            #expect(await first.token != nil)
            #expect(second.isEmpty)
            #expect(world.upstream.count(.exchange) == 1)
            world.clock.advance(by: .milliseconds(500))
            #expect(await second.token != nil)
            #expect(world.upstream.count(.exchange) == 2)
        }
    }
}
