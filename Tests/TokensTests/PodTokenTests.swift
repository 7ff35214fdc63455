import Attribution
import Testing

@testable import Tokens

@Suite(.timeLimit(.minutes(10))) struct PodTokenTests {
    private let pod = PodRecord.sample()
    private let account = ServiceAccountRecord.impersonating

    @Test func aPodTokenIsOneTokenRequestAndNoExchange() async throws {
        try await World.run { world in
            let token = try await world.podToken(pod, account, audience: "https://vault")
            #expect(token.token.exposed.hasPrefix("jwt|\(pod.uid)|"))
            #expect(token.expiresIn == 3600)
            #expect(
                world.upstream.calls == [
                    FakeUpstream.Call(
                        step: .subject, subject: pod.uid.description, account: "sa-uid-1", audience: "https://vault")
                ])
            await eventually { !world.reports.isEmpty }
            let report = try #require(world.reports.all.first)
            #expect(report.key.kind == .podToken(audience: "https://vault"))
            #expect(report.key.target == .serviceAccount)
            #expect(report.failure == nil)
        }
    }

    @Test func podTokensAreCachedPerPodAndAudience() async throws {
        try await World.run { world in
            let other = PodRecord.sample("other")
            var tokens: Set<String> = []
            for _ in 0..<3 {
                for pod in [pod, other] {
                    for audience in ["a", "b"] {
                        tokens.insert(try await world.podToken(pod, account, audience: audience).token.exposed)
                    }
                }
            }
            #expect(tokens.count == 4)
            #expect(world.upstream.count(.subject) == 4)
            #expect(world.service.cachedPodToken(for: pod, account: account, audience: "a") != nil)
            #expect(world.service.cachedPodToken(for: pod, account: account, audience: "c") == nil)
            #expect(world.service.cachedIdentityToken(for: pod, account: account, audience: "a") == nil)
        }
    }

    /// The token of the exchange, which lives in the same pod for the same account, is another one.
    @Test func aPodTokenIsNeverTheExchangesSubject() async throws {
        try await World.run { world in
            _ = try await world.token(pod, account)
            let token = try await world.podToken(pod, account, audience: "a")
            let presented = world.upstream.calls.compactMap(\.presented)
            #expect(!presented.contains(token.token.exposed))
            #expect(world.upstream.calls.filter { $0.step == .subject }.map(\.audience) == [nil, "a"])
        }
    }

    @Test func tenMinutesAreLeftWhileTheAPIServerWorks() async throws {
        try await World.run { world in
            let first = try await world.podToken(pod, account, audience: "a")
            // 30 % of an hour is 1080 s: a use then replaces it in the background.
            world.clock.advance(by: .seconds(3600 - 1079))
            #expect(try await world.podToken(pod, account, audience: "a").token == first.token)
            await world.upstream.called(.subject, 2)
            await world.settled()
            #expect(try await world.podToken(pod, account, audience: "a").expiresIn == 3600)
            // Unused until 599 s are left: no pod gets those.
            world.clock.advance(by: .seconds(3001))
            #expect(world.service.cachedPodToken(for: pod, account: account, audience: "a") == nil)
            #expect(try await world.podToken(pod, account, audience: "a").expiresIn == 3600)
        }
    }

    @Test func whatIsLeftIsServedWhileTheAPIServerDoesNotAnswer() async throws {
        try await World.run { world in
            let first = try await world.podToken(pod, account, audience: "a")
            world.upstream.fail(.subject, with: .kubernetes(.denied, 403))
            world.clock.advance(by: .seconds(3001))
            let rest = try await world.podToken(pod, account, audience: "a")
            #expect(rest.token == first.token && rest.expiresIn == 599)
        }
    }

    @Test func anAnnotationDoesNotConcernAPodToken() async throws {
        try await World.run { world in
            world.upstream.set(account)
            let annotated = try await world.service.serviceAccount(of: pod)
            let token = try await world.podToken(pod, annotated, audience: "a")
            world.upstream.set(.direct)
            world.clock.advance(by: .seconds(2))
            let plain = try await world.service.serviceAccount(of: pod)
            #expect(world.service.cachedPodToken(for: pod, account: plain, audience: "a")?.token == token.token)
        }
    }

    @Test func aRecreatedServiceAccountAndADeletedPodLoseTheirs() async throws {
        try await World.run { world in
            world.upstream.set(account)
            let first = try await world.service.serviceAccount(of: pod)
            _ = try await world.podToken(pod, first, audience: "a")
            world.upstream.set(.sample(uid: "another"))
            world.clock.advance(by: .seconds(2))
            let second = try await world.service.serviceAccount(of: pod)
            #expect(world.service.snapshot().isEmpty)
            _ = try await world.podToken(pod, second, audience: "a")
            world.service.forget(pod.uid)
            #expect(world.service.snapshot().isEmpty)
            await #expect(throws: TokenFailure.podGone) { try await world.podToken(pod, second, audience: "a") }
        }
    }

    @Test func podTokensDisplaceTheirOwnKindOnly() async throws {
        try await World.run {
            $0.podTokensPerPod = 2
            $0.fetchBurstPerPod = 100
        } body: { world in
            _ = try await world.token(pod, account)
            for audience in ["a", "b", "c"] {
                _ = try await world.podToken(pod, account, audience: audience)
                world.clock.advance(by: .seconds(1))
            }
            #expect(world.service.cachedPodToken(for: pod, account: account, audience: "a") == nil)
            #expect(world.service.cachedPodToken(for: pod, account: account, audience: "c") != nil)
            #expect(world.service.cachedAccessToken(for: pod, account: account, scopes: .default) != nil)
        }
    }

    @Test func aPodCannotHaveTheTokenOfAnotherServiceAccount() async throws {
        try await World.run { world in
            let other = ServiceAccountRecord.sample("other")
            #expect(world.service.cachedPodToken(for: pod, account: other, audience: "a") == nil)
            await #expect(throws: TokenFailure.self) { try await world.podToken(pod, other, audience: "a") }
            #expect(world.upstream.calls.isEmpty)
        }
    }

    @Test func aRefusalIsReportedWithItsAudience() async throws {
        try await World.run { world in
            world.upstream.fail(.subject, with: .kubernetes(.denied, 403))
            await #expect(throws: TokenFailure.self) { try await world.podToken(pod, account, audience: "a") }
            await eventually { !world.reports.isEmpty }
            #expect(world.reports.all.first?.key.kind == .podToken(audience: "a"))
            #expect(world.reports.all.first?.failure?.kind == .denied)
        }
    }
}
