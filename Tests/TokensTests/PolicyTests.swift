import Attribution
import Testing

@testable import Tokens

@Suite struct FreshnessTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var life: Int
        var jitter: Double
        /// Seconds before the end.
        var refresh: Int
        var wait: Int
        var end: Int
        var testDescription: String { "life \(life) s, jitter \(jitter)" }
    }

    @Test(arguments: [
        Case(life: 3600, jitter: 0, refresh: 720, wait: 360, end: 60),
        Case(life: 3600, jitter: 0.5, refresh: 810, wait: 360, end: 60),
        Case(life: 43_200, jitter: 0, refresh: 8640, wait: 360, end: 60),
        Case(life: 2000, jitter: 0, refresh: 600, wait: 360, end: 60),
        Case(life: 900, jitter: 0, refresh: 600, wait: 360, end: 60),
        Case(life: 300, jitter: 0, refresh: 240, wait: 150, end: 30),
        Case(life: 10, jitter: 0.9, refresh: 8, wait: 5, end: 1),
    ])
    func tokensAreRefreshedAheadOfTheirEnd(_ test: Case) {
        let now = ContinuousClock.now
        let token = MintedToken(token: SecretToken("t"), issuedAt: now, expiresAt: now + .seconds(test.life))
        let freshness = Freshness(of: token, policy: .init(), jitter: test.jitter)
        #expect(seconds(token.expiresAt - freshness.refreshAt) == test.refresh)
        #expect(seconds(token.expiresAt - freshness.awaitAt) == test.wait)
        #expect(seconds(token.expiresAt - freshness.endsAt) == test.end)
        #expect(freshness.refreshAt <= freshness.awaitAt && freshness.awaitAt <= freshness.endsAt)
    }

    private func seconds(_ duration: Duration) -> Int { Int((duration / .seconds(1)).rounded()) }
}

@Suite struct FailurePolicyTests {
    private let policy = TokenServiceConfiguration.TokenPolicy().failures

    @Test(arguments: [UpstreamFailure.Kind.denied, .notFound, .misconfigured, .staleSubjectToken])
    func refusalsAreRememberedForAboutTenSeconds(_ kind: UpstreamFailure.Kind) {
        #expect(policy.memory(of: .iam(kind), jitter: 0) == .seconds(8))
        #expect(policy.memory(of: .iam(kind), jitter: 0.5) == .seconds(10))
    }

    @Test func transientFailuresAreRememberedForOneToTwoSeconds() {
        #expect(policy.memory(of: .iam(.unavailable), jitter: 0) == .seconds(1))
        #expect(policy.memory(of: .iam(.unavailable), jitter: 0.75) == .milliseconds(1750))
    }

    @Test func negativeRetryAfterCountsForNothing() {
        #expect(policy.memory(of: .iam(.unavailable, retryAfter: .seconds(-5)), jitter: 0) == .seconds(1))
    }

    @Test func refreshPausesDoubleUpToAMinute() {
        let pauses = [1, 2, 3, 4, 5, 6, 60].map { count in
            policy.refreshPause(after: .sts(.unavailable), count: count, jitter: 1).components.seconds
        }
        #expect(pauses == [5, 10, 20, 40, 60, 60, 60])
        #expect(policy.refreshPause(after: .sts(.unavailable), count: 1, jitter: 0) == .milliseconds(2500))
    }
}

@Suite struct RetryScheduleTests {
    private let configuration = TokenServiceConfiguration()
    private let start = ContinuousClock.now

    @Test func pausesDoubleAndEndWithTheAttempts() {
        var schedule = RetrySchedule(startedAt: start, configuration: configuration)
        let pauses = (0..<5).map { _ in schedule.pause(after: .sts(.unavailable, 503), now: start, jitter: 1) }
        #expect(pauses == [.milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800), nil])
    }

    @Test func noRepetitionStartsBeyondTheBudget() {
        var schedule = RetrySchedule(startedAt: start, configuration: configuration)
        let late = start + .milliseconds(1_901)
        #expect(schedule.pause(after: .sts(.unavailable), now: late, jitter: 1) == nil)
        schedule = RetrySchedule(startedAt: start, configuration: configuration)
        #expect(schedule.pause(after: .sts(.unavailable), now: start + .milliseconds(1_900), jitter: 1) != nil)
    }

    @Test func retryAfterIsFollowedWhenItFits() {
        var schedule = RetrySchedule(startedAt: start, configuration: configuration)
        let short = UpstreamFailure.iam(.rateLimited, 429, retryAfter: .seconds(1))
        #expect(schedule.pause(after: short, now: start, jitter: 1) == .seconds(1))
        let long = UpstreamFailure.iam(.rateLimited, 429, retryAfter: .seconds(5))
        #expect(schedule.pause(after: long, now: start, jitter: 1) == nil)
    }

    @Test(arguments: [UpstreamFailure.Kind.denied, .notFound, .misconfigured, .staleSubjectToken])
    func finalFailuresAreNotRepeated(_ kind: UpstreamFailure.Kind) {
        var schedule = RetrySchedule(startedAt: start, configuration: configuration)
        #expect(schedule.pause(after: .sts(kind), now: start, jitter: 0) == nil)
    }
}

@Suite struct ValueTests {
    @Test func aBucketAllowsItsBurstThenItsRate() {
        let start = ContinuousClock.now
        var bucket = RateBucket(rate: 10, burst: 2, now: start)
        #expect(bucket.isFull(at: start))
        #expect(bucket.take(at: start) == nil)
        #expect(bucket.take(at: start) == nil)
        #expect(bucket.take(at: start) == .milliseconds(100))
        #expect(bucket.take(at: start + .milliseconds(50)) != nil)
        #expect(bucket.take(at: start + .milliseconds(101)) == nil)
        #expect(!bucket.isFull(at: start + .milliseconds(200)))
        #expect(bucket.isFull(at: start + .seconds(10)))
    }

    @Test func deadlinesComeInOrderAndOnlyWhenDue() {
        let start = ContinuousClock.now
        var queue = DeadlineQueue<Int>()
        for number in 0..<100 { queue.append(number, deadline: start + .seconds(number)) }
        #expect(queue.popFirst(dueAt: start - .seconds(1)) == nil)
        var taken: [Int] = []
        while let number = queue.popFirst(dueAt: start + .seconds(60)) { taken.append(number) }
        #expect(taken == Array(0...60))
        #expect(queue.count == 39)
        #expect(queue.first == start + .seconds(61))
        queue.compact { $0.isMultiple(of: 2) }
        #expect(queue.first == start + .seconds(62))
        #expect(queue.count == 19)
    }

    @Test func theRestOfALifeIsFlooredAndNeverZero() {
        let now = ContinuousClock.now
        let token = MintedToken(token: SecretToken("t"), issuedAt: now, expiresAt: now + .seconds(100))
        #expect(token.served(at: now).expiresIn == 100)
        #expect(token.served(at: now + .milliseconds(1)).expiresIn == 99)
        #expect(token.served(at: now + .milliseconds(99_500)).expiresIn == 1)
    }

    @Test func retryAfterIsASecondAtLeastAndAbsentWhereWaitingDoesNotHelp() {
        let account = ServiceAccountReference(namespace: "n", name: "s")
        func upstream(_ failure: UpstreamFailure) -> TokenFailure {
            .upstream(failure, account: account, googleServiceAccount: nil)
        }
        #expect(upstream(.sts(.unavailable)).retryAfter == .seconds(1))
        #expect(upstream(.sts(.rateLimited, retryAfter: .seconds(7))).retryAfter == .seconds(7))
        #expect(upstream(.sts(.denied)).retryAfter == nil)
        #expect(TokenFailure.limited(reason: "x", retryAfter: .milliseconds(30)).retryAfter == .seconds(1))
        #expect(TokenFailure.timedOut(stage: "x").retryAfter == .seconds(1))
        #expect(TokenFailure.podGone.retryAfter == nil)
        #expect(TokenFailure.noGoogleServiceAccount(account).retryAfter == nil)
    }

    @Test func keysOfDirectFederationIgnoreTheQuotaProject() {
        let pod = PodRecord.sample().uid
        let plain = TokenKey(pod: pod, account: .sample(), kind: .accessToken(.default))
        let billed = TokenKey(pod: pod, account: .sample(quotaProject: "p"), kind: .accessToken(.default))
        #expect(plain == billed)
        #expect(plain.federation == nil)
        let one = TokenKey(
            pod: pod, account: .sample(impersonating: "g", quotaProject: "p"), kind: .accessToken(.default))
        let other = TokenKey(pod: pod, account: .sample(impersonating: "g"), kind: .accessToken(.default))
        #expect(one != other)
        #expect(one.federation == other.federation)
    }
}
