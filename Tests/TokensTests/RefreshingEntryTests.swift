import Testing

@testable import Tokens

/// Scripts of inputs and expected actions. Times are seconds; a value obtained at `t` is refreshed from `t + 100`,
/// waited for from `t + 200` and ends at `t + 300`. With jitter 0 a final failure is remembered for 8 s, a transient
/// one for 1 s, and refreshing pauses 1 s, then 2 s, then 4 s.
@Suite struct RefreshingEntryTests {
    typealias Entry = RefreshingEntry<String>

    enum Step: Sendable {
        case request(at: Int, Entry.RequestAction)
        case start
        case succeed(String, at: Int)
        case fail(UpstreamFailure, at: Int, Entry.SettleAction)
        case waitLimit(at: Int, String?)
        case invalidate
    }

    struct Script: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var discards = false
        var steps: [Step]
    }

    static let denied = UpstreamFailure.iam(.denied, 403)
    static let down = UpstreamFailure.sts(.unavailable, 503)
    static let busy = UpstreamFailure.sts(.rateLimited, 429, retryAfter: .seconds(20))
    static let endlesslyBusy = UpstreamFailure.sts(.rateLimited, 429, retryAfter: .seconds(86_400))

    static let scripts = [
        Script(
            testDescription: "the first request fetches, the next join, all later ones are served",
            steps: [
                .request(at: 0, .fetch), .start, .request(at: 0, .join), .request(at: 1, .join),
                .succeed("a", at: 1), .request(at: 1, .serve("a")), .request(at: 100, .serve("a")),
            ]),
        Script(
            testDescription: "an ageing value is served while one refresh runs",
            steps: [
                .start, .succeed("a", at: 0), .request(at: 99, .serve("a")), .request(at: 100, .serveAndFetch("a")),
                .start, .request(at: 101, .serve("a")), .request(at: 199, .serve("a")),
                .succeed("b", at: 150), .request(at: 151, .serve("b")), .request(at: 250, .serveAndFetch("b")),
            ]),
        Script(
            testDescription: "little life left: wait for the refresh",
            steps: [
                .start, .succeed("a", at: 0), .request(at: 199, .serveAndFetch("a")), .request(at: 200, .fetch),
                .start, .request(at: 201, .join), .succeed("b", at: 202), .request(at: 202, .serve("b")),
            ]),
        Script(
            testDescription: "a failed refresh serves what is left, without waiting, to the last moment",
            steps: [
                .start, .succeed("a", at: 0), .request(at: 210, .fetch), .start, .fail(down, at: 211, .serve("a")),
                .request(at: 211, .serve("a")), .request(at: 212, .serveAndFetch("a")), .start,
                .request(at: 213, .serve("a")), .fail(down, at: 214, .serve("a")),
                .request(at: 215, .serve("a")), .request(at: 216, .serveAndFetch("a")),
                .request(at: 299, .serveAndFetch("a")), .request(at: 300, .fetch),
            ]),
        Script(
            testDescription: "refreshing pauses longer after each failure and forgets them after a success",
            steps: [
                .start, .succeed("a", at: 0), .start, .fail(down, at: 100, .serve("a")),
                .request(at: 100, .serve("a")), .request(at: 101, .serveAndFetch("a")), .start,
                .fail(down, at: 101, .serve("a")), .request(at: 102, .serve("a")),
                .request(at: 103, .serveAndFetch("a")), .start, .fail(down, at: 103, .serve("a")),
                .request(at: 106, .serve("a")), .request(at: 107, .serveAndFetch("a")), .start,
                .succeed("b", at: 107), .request(at: 206, .serve("b")), .start,
                .fail(down, at: 207, .serve("b")), .request(at: 208, .serveAndFetch("b")),
            ]),
        Script(
            testDescription: "a refusal of the refresh does not take a valid credential away",
            steps: [
                .start, .succeed("a", at: 0), .start, .fail(denied, at: 150, .serve("a")),
                .request(at: 299, .serveAndFetch("a")), .start,
                .fail(denied, at: 301, .fail(denied, retryAfter: .seconds(8))),
                .request(at: 302, .fail(denied, retryAfter: .seconds(7))),
            ]),
        Script(
            testDescription: "where refusals discard, they end the value at once",
            discards: true,
            steps: [
                .start, .succeed("a", at: 0), .start, .request(at: 150, .serve("a")),
                .fail(denied, at: 150, .fail(denied, retryAfter: .seconds(8))),
                .request(at: 151, .fail(denied, retryAfter: .seconds(7))),
            ]),
        Script(
            testDescription: "where refusals discard, transient failures still do not",
            discards: true,
            steps: [.start, .succeed("a", at: 0), .start, .fail(down, at: 150, .serve("a"))]),
        Script(
            testDescription: "a final failure is the answer for seconds, then asked again",
            steps: [
                .start, .fail(denied, at: 0, .fail(denied, retryAfter: .seconds(8))),
                .request(at: 7, .fail(denied, retryAfter: .seconds(1))), .request(at: 8, .fetch), .start,
                .request(at: 8, .join), .succeed("a", at: 9), .request(at: 9, .serve("a")),
            ]),
        Script(
            testDescription: "a transient failure is remembered for a second",
            steps: [
                .start, .fail(down, at: 0, .fail(down, retryAfter: .seconds(1))), .request(at: 1, .fetch),
            ]),
        Script(
            testDescription: "Retry-After is respected",
            steps: [
                .start, .fail(busy, at: 0, .fail(busy, retryAfter: .seconds(20))),
                .request(at: 19, .fail(busy, retryAfter: .seconds(1))), .request(at: 20, .fetch),
            ]),
        Script(
            testDescription: "Retry-After is bounded to a minute",
            steps: [
                .start, .fail(endlesslyBusy, at: 0, .fail(endlesslyBusy, retryAfter: .seconds(60))),
                .request(at: 60, .fetch),
            ]),
        Script(
            testDescription: "an ended value whose refresh just failed is not fetched in a loop",
            steps: [
                .start, .succeed("a", at: 0), .start, .fail(denied, at: 299, .serve("a")),
                .request(at: 301, .fail(denied, retryAfter: .seconds(6))), .request(at: 307, .fetch),
            ]),
        Script(
            testDescription: "a value that ends during its refresh is not served; requests join",
            steps: [
                .start, .succeed("a", at: 0), .request(at: 250, .fetch), .start, .request(at: 300, .join),
                .fail(down, at: 300, .fail(down, retryAfter: .seconds(1))),
            ]),
        Script(
            testDescription: "a refresh that hangs: the first waits in vain, the others are served what is left",
            steps: [
                .start, .succeed("a", at: 0), .request(at: 250, .fetch), .start, .request(at: 251, .join),
                .waitLimit(at: 253, "a"), .request(at: 253, .serve("a")), .request(at: 299, .serve("a")),
                .request(at: 300, .join), .waitLimit(at: 300, nil),
            ]),
        Script(
            testDescription: "waiting in vain for a first value gives nothing, and the fetch goes on",
            steps: [
                .request(at: 0, .fetch), .start, .waitLimit(at: 3, nil), .request(at: 4, .join),
                .succeed("a", at: 5), .request(at: 5, .serve("a")),
            ]),
        Script(
            testDescription: "a value that turned out worthless is fetched again",
            steps: [.start, .succeed("a", at: 0), .invalidate, .request(at: 1, .fetch)]),
        Script(
            testDescription: "a value that turned out worthless during its refresh is waited for",
            steps: [
                .start, .succeed("a", at: 0), .start, .invalidate, .request(at: 101, .join),
                .succeed("b", at: 102), .request(at: 102, .serve("b")),
            ]),
    ]

    @Test(arguments: scripts) func actions(_ script: Script) {
        let start = ContinuousClock.now
        func at(_ seconds: Int) -> ContinuousClock.Instant { start + .seconds(seconds) }
        let policy = FailurePolicy(
            finalFailure: .seconds(10), transientFailure: .seconds(1), rateLimited: .seconds(5),
            longestRetryAfter: .seconds(60), firstRefreshPause: .seconds(2), longestRefreshPause: .seconds(60),
            finalFailureDiscardsValue: script.discards)
        var entry = Entry()
        for (index, step) in script.steps.enumerated() {
            let comment = Comment(rawValue: "step \(index): \(step)")
            switch step {
            case .request(let time, let action): #expect(entry.request(at: at(time)) == action, comment)
            case .start: entry.fetchStarted()
            case .succeed(let value, let time):
                let freshness = Freshness(refreshAt: at(time + 100), awaitAt: at(time + 200), endsAt: at(time + 300))
                #expect(entry.fetchSucceeded(value, freshness: freshness) == .serve(value), comment)
            case .fail(let failure, let time, let action):
                #expect(entry.fetchFailed(failure, at: at(time), policy: policy, jitter: 0) == action, comment)
            case .waitLimit(let time, let value):
                #expect(entry.waitLimitReached(at: at(time)) == value, comment)
            case .invalidate: entry.invalidate()
            }
        }
    }

    @Test func anEntryIsSpentOnceNothingCanComeOfIt() {
        let now = ContinuousClock.now
        let policy = TokenServiceConfiguration.TokenPolicy().failures
        var entry = Entry()
        #expect(entry.isSpent(at: now))
        entry.fetchStarted()
        #expect(!entry.isSpent(at: now))
        _ = entry.fetchFailed(Self.down, at: now, policy: policy, jitter: 0)
        #expect(!entry.isSpent(at: now))
        #expect(entry.isSpent(at: now + .seconds(1)))
        _ = entry.fetchSucceeded(
            "a",
            freshness: Freshness(refreshAt: now, awaitAt: now + .seconds(2), endsAt: now + .seconds(3)))
        #expect(!entry.isSpent(at: now + .seconds(2)))
        #expect(entry.isSpent(at: now + .seconds(3)))
        entry.fetchStarted()
        #expect(!entry.isSpent(at: now + .seconds(3)))
    }
}
