import AgentTesting
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct AttackTests {
    @Test("every known way round the redirect and the attribution is closed, and the victim notices nothing")
    func everyAttackHolds() async throws {
        try await withWorld { world in
            let reports = try await AttackSuite.run(in: world) { print($0.line) }
            for report in reports {
                #expect(report.verdict.isAcceptable, "\(report.line)")
            }
            // Every line of the list of threats has at least one row.
            let numbers = Set(reports.map(\.number))
            let isNested = world.node.layout.depth > 0
            let routes = (1...23).filter { $0 != 20 || !isNested }.map { "R\($0)" }
            let attributions = (1...17).map { "A\($0)" }
            let others =
                ["A2b", "D1", "D2", "D3", "D4", "D6", "D7", "D8", "D9", "D10", "N1", "H1"]
                + (1...6).map { "C\($0)" } + (1...5).map { "S\($0)" }
            for number in routes + attributions + others {
                #expect(numbers.contains(number), "nothing tries \(number)")
            }
        }
    }

    @Test("without any one of the guards an attack breaks through that it stops")
    func everyGuardIsNeeded() async throws {
        try await withWorld { world in
            let reports = try await AttackSuite.runWithoutGuards(in: world) { print($0.line) }
            for report in reports {
                #expect(report.isNeeded, "\(report.line)")
            }
            #expect(Set(reports.map(\.name)).count >= 12)
        }
    }
}
