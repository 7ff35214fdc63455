import Attribution
import MetadataProtocol
import MetadataServer
import Operations
import Synchronization
import Telemetry
import Testing

@Suite struct RequestCountersTests {
    @Test("each status of each route has a counter of its own")
    func answers() {
        let counters = RequestCounters()
        var expected: [String: UInt64] = [:]
        for route in RouteClass.allCases {
            for status in Response.Status.allCases {
                // As often as no other, so that two in one counter are seen.
                let count = expected.count + 1
                for _ in 0..<count {
                    counters.requestAnswered(
                        AnsweredRequest(route: route, status: status, source: .cached, pod: nil))
                }
                expected["answers.\(route.rawValue).\(status.rawValue)"] = UInt64(count)
            }
        }
        #expect(counters.snapshot == expected)
        let counts = counters.answered.map { $0.count }
        #expect(counts == (1...expected.count).map { UInt64($0) })
    }

    @Test("connections, resets, limits and refusals are counted by their kind, and each refusal is passed on")
    func kinds() {
        let passedOn = Mutex<[RefusedRequest]>([])
        let counters = RequestCounters { refusal in passedOn.withLock { $0.append(refusal) } }
        #expect(counters.snapshot.isEmpty)
        for _ in 1...3 { counters.connectionOpened() }
        for _ in 1...2 { counters.connectionClosed() }
        var expected: [String: UInt64] = ["connections.opened": 3, "connections.closed": 2]
        for (index, reason) in ConnectionReset.allCases.enumerated() {
            for _ in 0...index { counters.connectionReset(reason) }
            expected["connections.reset.\(reason.rawValue)"] = UInt64(index + 1)
        }
        for (index, limit) in LimitKind.allCases.enumerated() {
            for _ in 0...index { counters.limitHit(limit) }
            expected["limits.\(limit.rawValue)"] = UInt64(index + 1)
        }
        #expect(counters.snapshot == expected)

        let refusals = RefusalCause.allCases.map { cause in
            RefusedRequest(tag: .ofTests, route: .value, status: .forbidden, cause: cause, text: "no")
        }
        for refusal in refusals { counters.requestRefused(refusal) }
        #expect(counters.refusals.values.allSatisfy { $0.value == 1 })
        let passed = passedOn.withLock { $0 }
        #expect(passed == refusals)
    }

    @Test("a time is observed by where the answer came from, and an answer without one is its pod's all the same")
    func durations() throws {
        let counters = RequestCounters()
        let pod = try #require(PodUID("11111111-1111-4111-8111-111111111111"))
        func answer(_ status: Response.Status, _ source: AnsweredRequest.Source, nanoseconds: Int64?) {
            counters.requestAnswered(
                AnsweredRequest(
                    route: .accessToken, status: status, source: source, pod: pod, nanoseconds: nanoseconds))
        }
        answer(.ok, .cached, nanoseconds: 1_000_000_000)
        answer(.ok, .fetched, nanoseconds: 2_000_000_000)
        answer(.forbidden, .fetched, nanoseconds: nil)
        // Less than nothing counts as nothing.
        answer(.ok, .cached, nanoseconds: -1)
        #expect(counters.cachedDuration.snapshot.seconds == 1)
        #expect(counters.fetchedDuration.snapshot.seconds == 2)
        #expect(Self.observations(counters.cachedDuration) == 2)
        #expect(Self.observations(counters.fetchedDuration) == 1)
        let meters = counters.pods.snapshot { _ in true }
        let meter = try #require(meters[pod])
        #expect(meter.requests == 4 && meter.refusals == 1)
    }

    private static func observations(_ histogram: LatencyHistogram) -> UInt64 {
        let snapshot = histogram.snapshot
        return snapshot.buckets.reduce(snapshot.above) { $0 + $1.count }
    }
}
