import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
struct AttackTests {
    @Test("every known way round the redirect and the attribution is closed, and the victim notices nothing")
    func everyAttackHolds() async throws {
        try await withWorld { world in
            let reports = try await AttackSuite.run(in: world) { print($0.line) }
            for report in reports {
                #expect(report.isHeld, "\(report.line)")
            }
            #expect(reports.count > 40)
        }
    }
}
