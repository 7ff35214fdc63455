import Foundation
import Operations
import Testing

@Suite struct PodTopTests {
    private func pod(
        _ name: String, requests: UInt64 = 0, refusals: UInt64 = 0, nanoseconds: [UInt64] = [], tokens: Int = 0
    ) -> PodLoadDump.Pod {
        var latency = LatencyCounts()
        for duration in nanoseconds { latency.observe(nanoseconds: duration) }
        return PodLoadDump.Pod(
            namespace: "shop", pod: name, uid: "uid-of-\(name)", requests: requests, refusals: refusals,
            latency: latency,
            tokens: tokens)
    }

    private func dump(after milliseconds: UInt64, _ pods: PodLoadDump.Pod...) -> PodLoadDump {
        PodLoadDump(node: "n", countedMilliseconds: milliseconds, pods: pods)
    }

    @Test("a duration lies in the bucket of the next power of two of microseconds, and the longest in the last")
    func buckets() {
        for (nanoseconds, bound) in [
            (0, 1), (1, 1), (1000, 1), (1001, 2), (2000, 2), (2001, 4), (63_999, 64), (64_001, 128),
            (8_000_000_000, 8_388_608), (UInt64.max, 8_388_608),
        ] as [(UInt64, UInt64)] {
            var counts = LatencyCounts()
            counts.observe(nanoseconds: nanoseconds)
            #expect(counts.bound(of: 0.5) == bound, "\(nanoseconds) ns")
        }
        #expect(LatencyCounts().bound(of: 0.99) == nil)
    }

    @Test("of a hundred durations one is beyond the 99th percentile")
    func quantiles() {
        var counts = LatencyCounts()
        for _ in 0..<50 { counts.observe(nanoseconds: 3000) }
        for _ in 0..<49 { counts.observe(nanoseconds: 100_000) }
        counts.observe(nanoseconds: 1_000_000_000)
        #expect(counts.total == 100)
        #expect(counts.bound(of: 0.5) == 4 && counts.bound(of: 0.51) == 128)
        #expect(counts.bound(of: 0.99) == 128 && counts.bound(of: 1) == 1_048_576)
    }

    @Test("counts survive JSON, and a list of more buckets than there are is refused")
    func coding() throws {
        var counts = LatencyCounts()
        for duration in [500, 70_000, 70_000, 9_000_000_000] as [UInt64] { counts.observe(nanoseconds: duration) }
        let data = try JSONEncoder().encode(counts)
        #expect(try JSONDecoder().decode(LatencyCounts.self, from: data) == counts)
        #expect(String(decoding: try JSONEncoder().encode(LatencyCounts()), as: UTF8.self) == "[]")
        let long = Data("[\(Array(repeating: "1", count: 26).joined(separator: ","))]".utf8)
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(LatencyCounts.self, from: long) }
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(LatencyCounts.self, from: Data("[-1]".utf8)) }
    }

    @Test("rates and latencies are of the time between two looks, totals since the agent's start")
    func rates() throws {
        let before = dump(after: 10_000, pod("a", requests: 100, refusals: 10, nanoseconds: [900_000]))
        let now = dump(
            after: 14_000, pod("a", requests: 140, refusals: 12, nanoseconds: [900_000, 3000, 3000]),
            pod("new", requests: 4))
        let top = PodTop(now, since: before, by: .requests)
        #expect(top.seconds == 4 && !top.isSinceStart && top.pods.map(\.pod) == ["a", "new"])
        let a = try #require(top.pods.first)
        #expect(a.requestsPerSecond == 10 && a.refusalsPerSecond == 0.5 && a.requests == 140 && a.refusals == 12)
        #expect(a.p50Microseconds == 4 && a.p99Microseconds == 4)
        #expect(top.pods[1].requestsPerSecond == 1 && top.pods[1].p50Microseconds == nil)
    }

    @Test("another agent's counts are not compared: the period is then the time since its start")
    func restart() throws {
        let before = dump(after: 100_000, pod("a", requests: 1000))
        let top = PodTop(dump(after: 2000, pod("a", requests: 6)), since: before, by: .requests)
        #expect(top.isSinceStart && top.seconds == 2 && top.pods[0].requestsPerSecond == 3)
        let first = PodTop(dump(after: 0, pod("a", requests: 6)), since: nil, by: .requests)
        #expect(first.isSinceStart && first.pods[0].requestsPerSecond.isFinite)
        // A pod that was forgotten and came back has fewer requests than before.
        let again = PodTop(dump(after: 102_000, pod("a", requests: 8)), since: before, by: .requests)
        #expect(again.pods[0].requestsPerSecond == 4)
    }

    @Test("pods are ordered by the column that is asked for, and by name where that is equal")
    func order() {
        let now = dump(
            after: 1000, pod("c", requests: 5, nanoseconds: [10_000], tokens: 1),
            pod("b", requests: 5, refusals: 3, nanoseconds: [1_000_000]), pod("a", requests: 9, tokens: 7))
        func names(_ order: PodTop.Order) -> [String?] { PodTop(now, since: nil, by: order).pods.map(\.pod) }
        #expect(names(.requests) == ["a", "b", "c"])
        #expect(names(.refusals) == ["b", "a", "c"])
        #expect(names(.latency) == ["b", "c", "a"])
        #expect(names(.tokens) == ["a", "c", "b"])
    }

    @Test("the table says what it leaves out, and a pod's name cannot steer the terminal")
    func table() {
        let now = dump(
            after: 1000, pod("a\u{1b}[2J", requests: 9, refusals: 1, nanoseconds: [20_000_000]), pod("b", requests: 1))
        let top = PodTop(now, since: nil, by: .requests)
        let text = top.table(limit: 1)
        #expect(text.hasPrefix("node n, 2 pods, 10.0 requests/s since the agent's start\nNAMESPACE  POD"))
        #expect(text.hasSuffix("and 1 more\n") && text.split(separator: "\n").count == 4)
        #expect(text.contains("32.768") && !text.contains("\u{1b}"))
        #expect(top.table().split(separator: "\n").count == 4 && !top.table().contains("more"))
        // Callers without an identity have a line, and are no pod.
        let one = PodTop(
            dump(after: 1000, pod("a"), PodLoadDump.Pod(namespace: nil, pod: nil, uid: nil)), since: nil, by: .requests)
        #expect(one.table().hasPrefix("node n, 1 pod, ") && one.table().contains("(no identity)"))
        let red = top.table(on: Terminal(isInteractive: true, columns: 200, usesColor: true))
        #expect(red.contains("\u{1b}[31m1.0"))
    }

    @Test("a filter leaves the pods that it names")
    func filter() {
        let now = dump(after: 1000, pod("a"), pod("b"))
        #expect(now.filtered(by: CgroupFilter(namespace: "shop", pod: "b")).pods.map(\.pod) == ["b"])
        #expect(now.filtered(by: CgroupFilter(uid: "uid-of-a")).pods.map(\.pod) == ["a"])
    }
}
