import Attribution
import Testing

@testable import Tokens

@Suite(.timeLimit(.minutes(10))) struct ServiceAccountTests {
    private let pod = PodRecord.sample()

    @Test func manyWhoAskAreOneRead() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            world.upstream.hold(.serviceAccount)
            let sibling = PodRecord.sample("sibling")
            let answers = (0..<50).map { world.askAccount($0.isMultiple(of: 2) ? pod : sibling) }
            await world.upstream.called(.serviceAccount)
            world.upstream.letGo(.serviceAccount)
            for answer in answers { #expect(await answer.first == .success(.direct)) }
            #expect(world.upstream.count(.serviceAccount) == 1)
        }
    }

    @Test func aRecordIsServedForASecondThenReadInTheBackgroundThenWaitedFor() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            _ = try await world.service.serviceAccount(of: pod)
            world.clock.advance(by: .milliseconds(999))
            #expect(world.service.cachedServiceAccount(of: pod) == .direct)
            #expect(world.upstream.count(.serviceAccount) == 1)

            world.upstream.set(.impersonating)
            world.clock.advance(by: .milliseconds(1))
            #expect(world.service.cachedServiceAccount(of: pod) == .direct)
            await eventually { world.service.cachedServiceAccount(of: pod) == .impersonating }
            #expect(world.upstream.count(.serviceAccount) == 2)

            world.upstream.set(.direct)
            world.clock.advance(by: .seconds(2))
            #expect(world.service.cachedServiceAccount(of: pod) == nil)
            #expect(try await world.service.serviceAccount(of: pod) == .direct)
            #expect(world.upstream.count(.serviceAccount) == 3)
        }
    }

    @Test func whileTheAPIServerIsDownTheLastRecordServesAsLongAsTokensLive() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            _ = try await world.service.serviceAccount(of: pod)
            // A Retry-After beyond the budget, so that the fetch does not repeat.
            let down = UpstreamFailure.kubernetes(.unavailable, 503, retryAfter: .seconds(9))
            world.upstream.fail(.serviceAccount, with: down)
            world.clock.advance(by: .seconds(5))
            #expect(try await world.service.serviceAccount(of: pod) == .direct)
            #expect(world.service.cachedServiceAccount(of: pod) == .direct)
            world.clock.advance(by: .seconds(3_594))
            #expect(try await world.service.serviceAccount(of: pod) == .direct)
            await eventually { world.upstream.count(.serviceAccount) == 3 }
            await eventually { world.service.counters.serviceAccountReads[.failed(.unavailable)] == 2 }
            world.clock.advance(by: .seconds(1))
            #expect(await world.askAccount(pod).first != .success(.direct))
        }
    }

    /// Seeds 5034 and 5042 of the simulation.
    @Test func theFirstUseAfterFailuresWaitsForTheReadThatIsDue() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            _ = try await world.service.serviceAccount(of: pod)
            world.upstream.failNext(.serviceAccount, with: .kubernetes(.unavailable, 503, retryAfter: .seconds(9)))
            world.clock.advance(by: .seconds(5))
            #expect(try await world.service.serviceAccount(of: pod) == .direct)
            world.upstream.set(.impersonating)
            // Within the pause the old record serves, without a call.
            world.clock.advance(by: .seconds(8))
            #expect(world.service.cachedServiceAccount(of: pod) == .direct)
            #expect(world.upstream.count(.serviceAccount) == 2)
            // A minute later the API server has long answered again: no pod may get the old account.
            world.clock.advance(by: .seconds(60))
            #expect(world.service.cachedServiceAccount(of: pod) == nil)
            world.upstream.hold(.serviceAccount)
            let (first, second) = (world.askAccount(pod), world.askAccount(PodRecord.sample("sibling")))
            await world.upstream.called(.serviceAccount, 3)
            // Neither may the one who comes while it is read.
            #expect(first.isEmpty && second.isEmpty)
            world.upstream.letGo(.serviceAccount)
            for answer in [first, second] { #expect(await answer.first == .success(.impersonating)) }
            #expect(world.upstream.count(.serviceAccount) == 3)
        }
    }

    @Test func whileTheAPIServerHangsTheLastRecordServesAfterTheWait() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            _ = try await world.service.serviceAccount(of: pod)
            world.clock.advance(by: .seconds(5))
            world.upstream.hold(.serviceAccount)
            let waiting = world.askAccount(pod)
            #expect(waiting.isEmpty)
            await world.clock.sleeper(until: world.clock.now + .milliseconds(700))
            world.clock.advance(by: .milliseconds(700))
            #expect(await waiting.first == .success(.direct))
            #expect(world.service.cachedServiceAccount(of: pod) == .direct)
        }
    }

    @Test func aFirstReadThatHangsTimesOut() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            world.upstream.hold(.serviceAccount)
            let waiting = world.askAccount(pod)
            await world.clock.sleeper(until: world.clock.now + .milliseconds(2_900))
            // There is nothing to serve instead: to give up before the client does would be an error for nothing.
            world.clock.advance(by: .milliseconds(2_899))
            #expect(waiting.isEmpty)
            world.clock.advance(by: .milliseconds(1))
            #expect(await waiting.first == .failure(.timedOut(stage: "the Kubernetes ServiceAccount")))
        }
    }

    @Test func aCallerHearsWhatTheAPIServerSaidAtTheLastAttempt() async throws {
        try await World.run { world in
            let start = world.clock.now
            world.upstream.fail(.serviceAccount, with: .kubernetes(.unavailable, 503))
            let waiting = world.askAccount(pod)
            for moment in [50, 150, 350, 750] {
                await world.clock.sleeper(until: start + .milliseconds(moment))
                world.clock.advance(by: start + .milliseconds(moment) - world.clock.now)
            }
            let said = UpstreamFailure.kubernetes(.unavailable, 503, retryAfter: .seconds(1))
            #expect(
                await waiting.first
                    == .failure(
                        .upstream(said, account: ServiceAccountReference(of: pod), googleServiceAccount: nil)))
        }
    }

    @Test func aRecordThatCannotBeReadIsReported() async throws {
        try await World.run { world in
            world.upstream.fail(.serviceAccount, with: .kubernetes(.denied, 403))
            _ = await world.askAccount(pod).first
            let report = await world.accountReports.first
            #expect(report.account == ServiceAccountReference(of: pod))
            #expect(report.failure == .kubernetes(.denied, 403))
        }
    }

    @Test func aRefusalEndsTheRecordAndIsRememberedForTwoSeconds() async throws {
        try await World.run { world in
            world.upstream.set(.direct)
            _ = try await world.service.serviceAccount(of: pod)
            world.upstream.fail(.serviceAccount, with: .kubernetes(.notFound, 404))
            world.clock.advance(by: .seconds(3))
            let expected = TokenFailure.upstream(
                .kubernetes(.notFound, 404), account: ServiceAccountReference(of: pod), googleServiceAccount: nil)
            #expect(await world.askAccount(pod).first == .failure(expected))
            #expect(await world.askAccount(pod).first == .failure(expected))
            #expect(world.upstream.count(.serviceAccount) == 2)
            world.upstream.fail(.serviceAccount, with: nil)
            world.clock.advance(by: .seconds(2))
            #expect(try await world.service.serviceAccount(of: pod) == .direct)
        }
    }

    @Test(arguments: [
        (ServiceAccountRecord.sample(impersonating: "one@p"), ServiceAccountRecord.sample(impersonating: "two@p")),
        (.sample(), .sample(impersonating: "one@p")),
        (.sample(impersonating: "one@p"), .sample()),
        (.sample(impersonating: "one@p"), .sample(impersonating: "one@p", quotaProject: "billed")),
        (.sample(uid: "first"), .sample(uid: "second")),
    ])
    func aChangedAccountDropsTheOldTokens(_ old: ServiceAccountRecord, _ new: ServiceAccountRecord) async throws {
        try await World.run { world in
            world.upstream.set(old)
            let first = try await world.service.serviceAccount(of: pod)
            let oldToken = try await world.token(pod, first)
            world.upstream.set(new)
            world.clock.advance(by: .seconds(2))
            let second = try await world.service.serviceAccount(of: pod)
            #expect(second == new)
            #expect(world.service.cachedAccessToken(for: pod, account: second, scopes: .default) == nil)
            #expect(world.service.cachedAccessToken(for: pod, account: old, scopes: .default) == nil)
            #expect(world.service.snapshot().allSatisfy { $0.kind == .federation })
            #expect(try await world.token(pod, second).token != oldToken.token)
        }
    }

    @Test func anUnchangedAccountKeepsItsTokens() async throws {
        try await World.run { world in
            world.upstream.set(.impersonating)
            let account = try await world.service.serviceAccount(of: pod)
            let token = try await world.token(pod, account)
            world.clock.advance(by: .seconds(5))
            _ = try await world.service.serviceAccount(of: pod)
            #expect(
                world.service.cachedAccessToken(for: pod, account: account, scopes: .default)?.token == token.token)
        }
    }

    @Test func aFetchForTheOldAccountAnswersThoseWhoWaitAndIsNotKept() async throws {
        try await World.run { world in
            let old = ServiceAccountRecord.sample(impersonating: "one@p")
            world.upstream.set(old)
            let account = try await world.service.serviceAccount(of: pod)
            world.upstream.hold(.accessToken)
            let waiting = world.ask(pod, account)
            await world.upstream.called(.accessToken)
            world.upstream.set(.sample(impersonating: "two@p"))
            world.clock.advance(by: .seconds(2))
            _ = try await world.service.serviceAccount(of: pod)
            world.upstream.letGo(.accessToken)
            #expect(await waiting.token != nil)
            #expect(world.service.cachedAccessToken(for: pod, account: account, scopes: .default) == nil)
        }
    }

    @Test func aPodWithoutServiceAccountIsRefusedWithoutAsking() async throws {
        try await World.run { world in
            let mirror = PodRecord.sample("mirror", serviceAccount: "")
            guard case .failure(.upstream(let failure, _, _)) = await world.askAccount(mirror).first else {
                Issue.record("not refused")
                return
            }
            #expect(failure.kind == .denied)
            #expect(world.upstream.calls.isEmpty)
        }
    }

    @Test func waitersForTheRecordCountTowardsThePodsLimit() async throws {
        try await World.run {
            $0.waitersPerPod = 2
        } body: { world in
            world.upstream.set(.direct)
            world.upstream.hold(.serviceAccount)
            let waiting = (0..<2).map { _ in world.askAccount(pod) }
            guard case .failure(.limited) = await world.askAccount(pod).first else {
                Issue.record("not limited")
                return
            }
            #expect(world.askAccount(.sample("sibling")).isEmpty)
            world.upstream.letGo(.serviceAccount)
            for answer in waiting { #expect(await answer.first == .success(.direct)) }
        }
    }
}
