import Attribution
import Testing

@testable import Tokens

@Suite(.timeLimit(.minutes(10))) struct TokenServiceTests {
    private let pod = PodRecord.sample()
    private let account = ServiceAccountRecord.impersonating

    @Test func oneHundredFirstRequestsAreOneFetch() async throws {
        try await World.run { world in
            world.upstream.hold(.subject)
            let tokens = try await withThrowingTaskGroup(of: ServedToken.self) { group in
                for _ in 0..<100 { group.addTask { try await world.token(pod, account) } }
                await eventually { world.service.counters.joins == 99 }
                await world.upstream.called(.subject)
                world.upstream.letGo(.subject)
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(tokens.count == 100)
            #expect(Set(tokens.map(\.token.exposed)).count == 1)
            #expect(world.upstream.calls.map(\.step) == [.subject, .exchange, .accessToken])
            #expect(world.service.counters.misses == 1)
        }
    }

    @Test func aSecondAskGetsTheSameTokenWithNoMoreLife() async throws {
        try await World.run { world in
            let first = try await world.token(pod, account)
            world.clock.advance(by: .milliseconds(1_200))
            let second = try #require(world.service.cachedAccessToken(for: pod, account: account, scopes: .default))
            #expect(first.token == second.token)
            #expect(first.expiresIn == 3600)
            #expect(second.expiresIn == 3598)
            #expect(world.service.counters.hits == 1)
        }
    }

    @Test func theFirstCallersCancellationEndsNothing() async throws {
        try await World.run { world in
            world.upstream.hold(.exchange)
            let first = Task { try await world.token(pod, account) }
            await world.upstream.called(.exchange)
            let second = world.ask(pod, account)
            first.cancel()
            await #expect(throws: TokenFailure.self) { try await first.value }
            #expect(second.isEmpty)
            world.upstream.letGo(.exchange)
            #expect(await second.token?.hasPrefix("gsa|\(PodRecord.sample().uid)") == true)
            #expect(world.upstream.count(.exchange) == 1)
        }
    }

    @Test func aCallerCancelledBeforeItAskedIsAnsweredToo() async throws {
        try await World.run { world in
            world.upstream.hold(.exchange)
            let caller = Task {
                await eventually { Task.isCancelled }
                return try await world.token(pod, account)
            }
            caller.cancel()
            await #expect(throws: TokenFailure.self) { try await caller.value }
            #expect(world.service.snapshot().allSatisfy { $0.waiters == 0 })
        }
    }

    @Test func anAbandonedWaitIsAnsweredAndItsFetchGoesOn() async throws {
        try await World.run { world in
            world.upstream.hold(.exchange)
            let answers = Answers<Result<ServedToken, TokenFailure>>()
            let wait = try #require(
                world.service.requestAccessToken(
                    for: pod, account: account, scopes: .default, completion: answers.append))
            await world.upstream.called(.exchange)
            world.service.abandon(wait)
            world.service.abandon(wait)
            #expect(answers.all.count == 1)
            // The caller gets what it would have got at the end of its time.
            guard case .failure(.timedOut(let stage)) = answers.all[0] else {
                Issue.record("\(answers.all)")
                return
            }
            #expect(stage.contains("STS"))
            world.upstream.letGo(.exchange)
            await eventually {
                world.service.cachedAccessToken(for: pod, account: account, scopes: .default) != nil
            }
            #expect(answers.all.count == 1)
        }
    }

    @Test func onePodsHangingUpstreamDoesNotDelayAnother() async throws {
        try await World.run { world in
            let hanging = PodRecord.sample("hanging")
            world.upstream.hold(.exchange, of: hanging.uid.description)
            let stuck = world.ask(hanging, .direct)
            await world.upstream.called(.exchange, of: hanging.uid.description)
            _ = try await world.token(pod, .direct)
            #expect(stuck.isEmpty)
            world.upstream.letGo(.exchange, of: hanging.uid.description)
            #expect(await stuck.token != nil)
        }
    }

    @Test func tokensAreNeverSharedBetweenPods() async throws {
        try await World.run { world in
            let other = PodRecord.sample("other")
            let mine = try await world.token(pod, account)
            #expect(world.service.cachedAccessToken(for: other, account: account, scopes: .default) == nil)
            let theirs = try await world.token(other, account)
            #expect(mine.token.exposed.hasPrefix("gsa|\(PodRecord.sample().uid)|"))
            #expect(theirs.token.exposed.hasPrefix("gsa|\(PodRecord.sample("other").uid)|"))
        }
    }

    @Test func scopeSetsAndAudiencesAreSeparateTokensOfOneFederation() async throws {
        try await World.run { world in
            let readOnly = ScopeSet(["https://www.googleapis.com/auth/devstorage.read_only"])
            let one = try await world.token(pod, account)
            let two = try await world.token(pod, account, scopes: readOnly)
            let three = try await world.service.identityToken(for: pod, account: account, audience: "https://x")
            #expect(Set([one, two, three].map(\.token.exposed)).count == 3)
            #expect(world.upstream.count(.exchange) == 1)
            #expect(world.upstream.calls.filter { $0.step == .accessToken }.map(\.scopes) == [.default, readOnly])
            #expect(
                world.service.cachedIdentityToken(for: pod, account: account, audience: "https://x")?.token
                    == three.token)
        }
    }

    @Test func noScopesMeanTheDefaultScopes() async throws {
        try await World.run { world in
            let token = try await world.token(pod, .direct, scopes: ScopeSet([]))
            #expect(world.upstream.calls.last?.scopes == .default)
            #expect(
                world.service.cachedAccessToken(for: pod, account: .direct, scopes: .default)?.token == token.token)
        }
    }

    @Test func identityTokensNeedAGoogleServiceAccount() async throws {
        try await World.run { world in
            #expect(world.service.cachedIdentityToken(for: pod, account: .direct, audience: "x") == nil)
            await #expect(throws: TokenFailure.noGoogleServiceAccount(ServiceAccountReference(of: pod))) {
                try await world.service.identityToken(for: pod, account: .direct, audience: "x")
            }
            #expect(world.upstream.calls.isEmpty)
        }
    }

    @Test func anotherServiceAccountsRecordIsRefused() async throws {
        try await World.run { world in
            let foreign = ServiceAccountRecord.sample("admin", impersonating: "admin@p")
            #expect(await world.ask(pod, foreign).failure?.retryAfter == nil)
            #expect(world.upstream.calls.isEmpty)
        }
    }

    @Test func everyFetchIsReportedForAudit() async throws {
        try await World.run { world in
            world.upstream.failNext(.accessToken, with: .iam(.denied, 403))
            _ = await world.ask(pod, account).failure
            // The caller may get its answer before the audit does.
            await eventually { world.reports.all.count == 2 }
            #expect(world.reports.all.map(\.key.kind) == [.federation, .accessToken(.default)])
            #expect(world.reports.all.map(\.failure) == [nil, .iam(.denied, 403)])
            #expect(world.service.counters.tokenFetches == [.succeeded: 1, .failed(.denied): 1])
        }
    }

    @Test func theSnapshotTellsEverythingButTheToken() async throws {
        try await World.run { world in
            _ = try await world.token(pod, account)
            world.clock.advance(by: .seconds(100))
            let entries = world.service.snapshot()
            let entry = try #require(entries.first { $0.kind == .accessToken(.default) })
            #expect(entry.state == "fresh")
            #expect(entry.age == .seconds(100))
            #expect(entry.remaining == .seconds(3500))
            #expect(entry.target == .googleServiceAccount("gsa@p.iam.gserviceaccount.com"))
            #expect(entry.account.description == "team-a/app")
            var dump = ""
            dumpAll(entries, to: &dump)
            #expect(!dump.contains("gsa|\(PodRecord.sample().uid)|"))
            #expect(!dump.contains("fed|\(PodRecord.sample().uid)|"))
        }
    }

    private func dumpAll(_ entries: [TokenEntrySnapshot], to text: inout String) {
        dump(entries, to: &text)
        text += String(describing: entries) + String(reflecting: entries)
    }

    @Test func stoppingAnswersWhoeverWaits() async throws {
        let world = World(TokenServiceConfiguration())
        let running = Task { await world.service.run() }
        world.upstream.hold(.exchange)
        let waiting = world.ask(pod, account)
        await world.upstream.called(.exchange)
        running.cancel()
        #expect(await waiting.failure?.retryAfter == .seconds(1))
        world.upstream.letGo(.exchange)
        await running.value
        #expect(await world.ask(pod, account).failure?.retryAfter == .seconds(1))
    }
}
