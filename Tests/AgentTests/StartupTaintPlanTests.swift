import Testing
import Tokens

@testable import NodeObject

@Suite struct StartupTaintPlanTests {
    @Test("failures that may pass are tried again ever later, up to a minute, and are said once")
    func backoff() {
        var plan = StartupTaintPlan()
        let steps = (0..<8).map { _ in plan.failed(.unavailable, jitter: 0.5) }
        #expect(steps.map(\.pause) == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        #expect(steps.map(\.isNews) == [true] + Array(repeating: false, count: 7))
        #expect(plan.succeeded() == .seconds(60))
        #expect(plan.failed(.unavailable, jitter: 0.5) == .init(pause: .seconds(1), isNews: true))
    }

    @Test("a missing right is not asked for every second")
    func denied() {
        var plan = StartupTaintPlan()
        #expect(plan.failed(.denied, jitter: 0.5).pause == .seconds(60))
        #expect(plan.failed(.denied, jitter: 0).pause == .seconds(45))
    }
}
