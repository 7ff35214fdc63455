import Testing
import Tokens

@testable import KubernetesAPI

@Suite("The plan of the pod watch")
struct PodWatchPlanTests {
    private func report(
        _ end: WatchEnd, at version: String = "7", progress: Bool = false, lasted: Duration = .zero
    ) -> PodWatchPlan.Report {
        PodWatchPlan.Report(end: end, resourceVersion: version, madeProgress: progress, lasted: lasted)
    }

    private func refusal(_ kind: UpstreamFailure.Kind, retryAfter: Duration? = nil) -> WatchEnd {
        .refused(UpstreamFailure(upstream: .kubernetes, kind: kind, message: "", retryAfter: retryAfter))
    }

    @Test("It lists first, then watches from there, and resumes where the watch was")
    func ordinaryLife() {
        var plan = PodWatchPlan()
        #expect(plan.step == .list)
        plan.listed(at: "5")
        #expect(plan.step == .watch(from: "5"))
        #expect(plan.watchEnded(report(.ended, progress: true), random: 1) == .zero)
        #expect(plan.step == .watch(from: "7"))
        // Nothing happened for minutes: as good.
        #expect(plan.watchEnded(report(.ended, lasted: .seconds(300)), random: 1) == .zero)
    }

    @Test("Pauses double up to their limit, and half of each is left to chance")
    func pauses() {
        var plan = PodWatchPlan()
        let full = (0..<8).map { _ in plan.listFailed(retryAfter: nil, random: 1) }
        #expect(full == [100, 200, 400, 800, 1600, 3200, 5000, 5000].map { .milliseconds($0) })
        #expect(plan.listFailed(retryAfter: nil, random: 0) == .milliseconds(2500))
        #expect(plan.listFailed(retryAfter: .seconds(9), random: 0) == .seconds(9))
        #expect(plan.listFailed(retryAfter: .seconds(300), random: 0) == .seconds(30))
    }

    @Test("A list does not forgive a watch that never works; a watch that works does")
    func forgiveness() {
        var plan = PodWatchPlan()
        plan.listed(at: "5")
        #expect(plan.watchEnded(report(.expired("")), random: 1) == .milliseconds(100))
        #expect(plan.step == .list)
        plan.listed(at: "6")
        #expect(plan.watchEnded(report(.expired("")), random: 1) == .milliseconds(200))
        plan.listed(at: "6")
        #expect(plan.watchEnded(report(.expired(""), progress: true), random: 1) == .milliseconds(100))
    }

    @Test("Silence means a list at once; cut connections resume, but not without end")
    func endings() {
        var plan = PodWatchPlan()
        #expect(plan.watchEnded(report(.silent), random: 1) == .zero)
        #expect(plan.step == .list)
        for expected in [PodWatchPlan.Step.watch(from: "7"), .watch(from: "7"), .list] {
            #expect(plan.watchEnded(report(.disconnected("")), random: 1) > .zero)
            #expect(plan.step == expected)
        }
    }

    @Test("Refusals that pass resume, and final ones list")
    func refusals() {
        var plan = PodWatchPlan()
        #expect(plan.watchEnded(report(refusal(.rateLimited, retryAfter: .seconds(3))), random: 1) == .seconds(3))
        #expect(plan.step == .watch(from: "7"))
        _ = plan.watchEnded(report(refusal(.misconfigured)), random: 1)
        #expect(plan.step == .list)
        plan.listed(at: "9")
        plan.missed()
        #expect(plan.step == .list)
    }
}
