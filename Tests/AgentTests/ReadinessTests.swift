import Attribution
import Logging
import Operations
import Testing

@testable import Diagnostics
@testable import Enforcement
@testable import KubernetesAPI
@testable import Settings

@Suite struct ReadinessTests {
    private static let now = ContinuousClock.now

    private static func proof(
        provenAgo age: Duration?, failures: Int = 0, problem: String? = nil
    ) -> Readiness.Condition {
        let status = ConnectionProof.Status(provenAt: age.map { now - $0 }, failures: failures, problem: problem)
        return ReadinessProbe.connection(status, at: now)
    }

    @Test func `one failed attempt is no news; two, or none for forty-five seconds, are`() {
        let proven = Self.proof(provenAgo: .milliseconds(44_999), failures: 1, problem: "reset")
        #expect(proven.problem == nil && proven.remark == "answered with this pod's UID 44 s ago")
        #expect(Self.proof(provenAgo: .seconds(45)).problem == "last proven 45 s ago")
        #expect(Self.proof(provenAgo: .seconds(1), failures: 2, problem: "reset").problem == "reset")
        #expect(Self.proof(provenAgo: nil).problem == "not proven yet")
        #expect(Self.proof(provenAgo: nil, failures: 1, problem: "reset").problem == "reset")
    }

    @Test func `an agent in no pod proves nothing, says so, and is ready`() {
        let condition = ReadinessProbe.connection(nil, at: Self.now)
        #expect(condition.problem == nil && condition.remark == "not proven: pod-uid is not set")
    }

    @Test func `a list of pods counts as long as something confirms it`() {
        func problem(_ isSynced: Bool, silentFor silence: Duration?) -> String? {
            var status = PodWatchStatus()
            status.isSynced = isSynced
            status.lastContact = silence.map { Self.now - $0 }
            return ReadinessProbe.podsProblem(status, at: Self.now)
        }
        #expect(problem(true, silentFor: .seconds(150)) == nil)
        #expect(problem(true, silentFor: .seconds(151)) == "the pod list was confirmed 151 s ago")
        for (isSynced, silence) in [(false, Duration.zero), (false, nil), (true, nil)] as [(Bool, Duration?)] {
            #expect(problem(isSynced, silentFor: silence) == "the pod list has not been read yet")
        }
    }

    @Test func `the log has the first proof, the second failure in a row, and the proof after it`() throws {
        let log = RecentLog()
        let proof = ConnectionProof(
            AgentConfiguration(), datapath: AttachedDatapath(), directory: PodDirectory(),
            logger: Logger(label: "test") { _ in log.keeping(SwiftLogNoOpLogHandler()) })
        func lines(after problem: String?) -> Int {
            let before = log.lines.count
            proof.record(problem)
            return log.lines.count - before
        }
        let counts = [nil, nil, "reset", nil, "reset", "late", "late", nil, nil].map { lines(after: $0) }
        #expect(counts == [1, 0, 0, 0, 0, 1, 0, 1, 0])
        #expect(log.lines[1].contains("not answered: not ready reason=late"))
        #expect(proof.current.failures == 0 && proof.current.problem == nil && proof.current.provenAt != nil)
        proof.record("gone")
        #expect(proof.current.failures == 1 && proof.current.problem == "gone" && proof.current.provenAt != nil)
    }
}
