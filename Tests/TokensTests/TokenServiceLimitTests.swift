import Attribution
import Testing

@testable import Tokens

@Suite(.timeLimit(.minutes(10))) struct TokenServiceLimitTests {
    private let pod = PodRecord.sample()
    private let other = PodRecord.sample("other")
    private let account = ServiceAccountRecord.impersonating

    private func isLimited(_ failure: TokenFailure?) -> Bool {
        if case .limited = failure { true } else { false }
    }

    @Test func `case 89 ten thousand audiences cost bounded memory and no other pod`() async throws {
        try await World.run {
            $0.fetchRatePerPod = 1_000_000
            $0.fetchBurstPerPod = 1_000_000
            $0.identityTokensPerPod = 8
        } body: { world in
            let mine = try await world.token(other, account)
            let access = try await world.token(pod, account)
            for number in 0..<10_000 {
                _ = try await world.service.identityToken(for: pod, account: account, audience: "a\(number)")
                world.clock.advance(by: .microseconds(1))
            }
            let entries = world.service.snapshot()
            #expect(entries.count { $0.pod == pod.uid && $0.target != .federated } == 9)
            #expect(world.service.counters.evicted == 9_992)
            // The youngest are kept, and identity tokens do not displace access tokens.
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "a9992") != nil)
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "a9991") == nil)
            #expect(
                world.service.cachedAccessToken(for: pod, account: account, scopes: .default)?.token == access.token)
            #expect(
                world.service.cachedAccessToken(for: other, account: account, scopes: .default)?.token == mine.token)
            #expect(world.upstream.count(.exchange, of: pod.uid.description) == 1)
        }
    }

    @Test func usedTokensStayUnusedOnesMakeRoom() async throws {
        try await World.run {
            $0.identityTokensPerPod = 2
        } body: { world in
            for audience in ["a", "b"] {
                _ = try await world.service.identityToken(for: pod, account: account, audience: audience)
                world.clock.advance(by: .seconds(1))
            }
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "a") != nil)
            _ = try await world.service.identityToken(for: pod, account: account, audience: "c")
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "a") != nil)
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "b") == nil)
        }
    }

    @Test func tokensBeingFetchedAreNotDisplaced() async throws {
        try await World.run {
            $0.identityTokensPerPod = 2
        } body: { world in
            world.upstream.hold(.exchange)
            let waiting = ["a", "b"].map { world.askIdentity(pod, account, audience: $0) }
            #expect(isLimited(await world.askIdentity(pod, account, audience: "c").failure))
            world.upstream.letGo(.exchange)
            for answer in waiting { #expect(await answer.token != nil) }
        }
    }

    @Test func newTokensAreLimitedPerSecondAndPod() async throws {
        try await World.run {
            $0.fetchBurstPerPod = 3
        } body: { world in
            for number in 0..<3 {
                _ = try await world.service.identityToken(for: pod, account: account, audience: "\(number)")
            }
            let refusal = await world.askIdentity(pod, account, audience: "3").failure
            #expect(isLimited(refusal))
            #expect(refusal?.retryAfter == .seconds(1))
            #expect(world.service.counters.limited == 1)
            #expect(await world.ask(other, account).token != nil)
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "2") != nil)
            world.clock.advance(by: .milliseconds(101))
            #expect(await world.askIdentity(pod, account, audience: "3").token != nil)
        }
    }

    @Test func theRateLimitDoesNotTakeAwayWhatThePodHas() async throws {
        try await World.run {
            $0.fetchBurstPerPod = 1
            $0.fetchRatePerPod = 0.000_001
        } body: { world in
            let old = try await world.token(pod, .direct)
            world.clock.advance(by: .seconds(3300))
            #expect(await world.ask(pod, .direct).token == old.token.exposed)
        }
    }

    @Test func waitersOfAPodAreLimited() async throws {
        try await World.run {
            $0.waitersPerPod = 3
        } body: { world in
            world.upstream.hold(.exchange)
            let waiting = (0..<3).map { _ in world.ask(pod, account) }
            #expect(isLimited(await world.ask(pod, account).failure))
            let neighbour = world.ask(other, account)
            #expect(neighbour.isEmpty)
            world.upstream.letGo(.exchange)
            for answer in waiting + [neighbour] { #expect(await answer.token != nil) }
            #expect(await world.ask(pod, account).token != nil)
        }
    }

    @Test func fetchesOfAPodRunInBoundedNumbersAndTheRestQueue() async throws {
        try await World.run {
            $0.fetchesPerPod = 2
            $0.queuedFetchesPerPod = 3
        } body: { world in
            _ = try await world.token(pod, account)
            await world.settled()
            world.upstream.hold(.identityToken)
            let waiting = (0..<5).map { world.askIdentity(pod, account, audience: "\($0)") }
            await world.upstream.called(.identityToken, 2)
            #expect(isLimited(await world.askIdentity(pod, account, audience: "5").failure))
            #expect(world.service.read { $0.runningCount } == 2)
            #expect(world.upstream.count(.identityToken) == 2)
            world.upstream.letGo(.identityToken)
            for answer in waiting { #expect(await answer.token != nil) }
            #expect(world.upstream.count(.identityToken) == 5)
        }
    }

    @Test func whenAllRoomIsTakenAPodsFirstFetchStillRuns() async throws {
        try await World.run {
            $0.fetchesInTotal = 2
        } body: { world in
            world.upstream.hold(.exchange, of: pod.uid.description)
            let scopes = (0..<4).map { ScopeSet(["scope\($0)"]) }
            let stuck = scopes.map { world.ask(pod, .direct, scopes: $0) }
            await world.upstream.called(.exchange, 2, of: pod.uid.description)
            #expect(world.service.read { $0.runningCount } == 2)
            #expect(await world.ask(other, .direct).token != nil)
            #expect(world.upstream.count(.exchange, of: pod.uid.description) == 2)
            world.upstream.letGo(.exchange, of: pod.uid.description)
            for answer in stuck { #expect(await answer.token != nil) }
        }
    }

    @Test func answeredWaitersLeaveNoGrowingQueueBehind() async throws {
        try await World.run {
            $0.fetchRatePerPod = 1_000_000
            $0.fetchBurstPerPod = 1_000_000
        } body: { world in
            for number in 0..<3_000 {
                _ = try await world.service.identityToken(for: pod, account: account, audience: "\(number)")
            }
            #expect(world.service.read { $0.tokenDeadlines.count } <= 1_026)
            #expect(world.service.read { $0.pods[pod.uid]?.waiting } == 0)
        }
    }
}
