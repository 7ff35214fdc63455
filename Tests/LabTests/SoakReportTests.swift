import Foundation
import Lab
import Testing

/// The findings that a soak draws from its figures.
@Suite struct SoakReportTests {
    private static let steady = """
        {"seconds": 120, "trapConnections": 0, "watchEnds": 4, "wrong": [], "unexplained": [],
         "windows": [
           \(window(1, warmUp: true)), \(window(2)), \(window(3)), \(window(4, agent: 2, warmUp: true)),
           \(window(5, agent: 2)), \(window(6, agent: 2))],
         "memory": [{"agent": 1, "riseKibibytes": 100, "mebibytesPerHour": 90, "observedSeconds": 40},
                    {"agent": 2, "riseKibibytes": 100, "mebibytesPerHour": 90, "observedSeconds": 40}],
         "tablesBefore": \(tables), "tablesAfter": \(tables)}
        """

    private static let tables = """
        {"pods": 13, "cgroups": 34, "connectionCounts": 13, "policies": 0, "tokenEntries": 25,
         "namespaces": 13, "connections": 0}
        """

    private static func window(_ number: Int, agent: Int = 1, warmUp: Bool = false) -> String {
        """
        {"number": \(number), "agent": \(agent), "isWarmUp": \(warmUp), "requests": 100, "own": 90, "explained": 10,
         "wrong": 0, "unexplained": 0, "shortLivedPods": 5, "mints": 7, "residentKibibytes": 40000,
         "anonymousKibibytes": 9000,
         "descriptors": 60, "threads": 12, "newConnections": {"count": 50, "p50": 300, "p99": 900},
         "keptConnections": {"count": 50, "p50": 100, "p99": 400}}
        """
    }

    private func report(_ change: (inout SoakReport) -> Void = { _ in }) throws -> SoakReport {
        var report = try JSONDecoder().decode(SoakReport.self, from: Data(Self.steady.utf8))
        change(&report)
        return report
    }

    @Test("what stays as it is is steady, and what does not is told by its name")
    func verdict() throws {
        #expect(try report().isGood)
        let cases: [(name: String, change: (inout SoakReport) -> Void)] = [
            ("wrong identities", { $0.windows[0].wrong = 1 }),
            ("unexplained refusals", { $0.windows[3].unexplained = 1 }),
            ("connections past the redirect", { $0.trapConnections = 1 }),
            ("memory, agent 2", { $0.memory[1].riseKibibytes = SoakReport.allowedRiseKibibytes + 1 }),
            ("memory, agent 1", { $0.memory[0].observedSeconds = 600 }),
            ("descriptors", { $0.windows[5].descriptors += SoakReport.allowedDescriptorRise + 1 }),
            ("threads", { $0.windows[2].threads += SoakReport.allowedThreadRise + 1 }),
            ("tables emptied", { $0.tablesAfter.cgroups += 1 }),
            ("tables emptied", { $0.tablesAfter.tokenEntries += 1 }),
            ("tables emptied", { $0.tablesAfter.namespaces = 14 }),
        ]
        for (name, change) in cases {
            let report = try report(change)
            #expect(!report.isGood, "\(name)")
            #expect(report.findings.filter { !$0.isGood }.map(\.name) == [name])
            #expect(report.verdict.contains("BAD   \(name)") && report.verdict.contains("NOT steady"))
        }
    }

    @Test("a drift of the latency is told, and changes no verdict")
    func drift() throws {
        let report = try report { $0.windows[5].newConnections.p99 = 90_000 }
        #expect(report.isGood)
        #expect(report.findings.filter { !$0.isGood }.map(\.name) == ["p99"])
        #expect(report.verdict.contains("note  p99") && report.verdict.contains("100.00 x"))
    }

    @Test("tokens that were steps on the way to others may be gone at the end, and an agent may grow in its warm-up")
    func allowed() throws {
        #expect(try report { $0.tablesAfter.tokenEntries -= 6 }.isGood)
        #expect(try report { $0.windows[0].descriptors += 100 }.isGood)
        #expect(try report { $0.windows[3].threads += 100 }.isGood)
    }
}
