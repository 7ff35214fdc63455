import AgentTesting
import Foundation
import Lab
import Testing

/// The short form of `make soak`. Latency is printed only: a timing is never a test.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SoakTests {
    @Test("a minute of mixed load, churn, ended watches and an upgrade: memory, descriptors and tables stay flat")
    func aMinute() async throws {
        try await withWorld { world in
            let soak = Soak(duration: .seconds(60))
            let report = try await soak.run(in: world) { _ in }
            #expect(report.isGood, "\(report.verdict)")
            // The soak has met what it is about.
            #expect(report.windows.count == soak.windowCount && Set(report.windows.map(\.agent)) == [1, 2])
            #expect(report.memory.count == 2)
            #expect(report.windows.allSatisfy { $0.requests > 0 && $0.mints > 0 && $0.residentKibibytes > 0 })
            #expect(report.windows.allSatisfy { $0.newConnections.count > 0 && $0.keptConnections.count > 0 })
            #expect(report.windows.contains { $0.explained > 0 } && report.windows.allSatisfy { $0.shortLivedPods > 0 })
            #expect(report.watchEnds >= soak.windowCount - 1)
            print("SOAK\n" + ([SoakReport.header] + report.windows.map(\.line)).joined(separator: "\n"))
            print(report.verdict)
        }
    }
}
