import Simulation
import Testing

/// The answers that pods get once the faults are over.
@Suite struct RecoveryTests {
    private func run(_ seed: Int, _ faults: Set<Fault>, _ mutation: Mutation? = nil) -> Simulation.Report {
        var options = SimulationOptions(seed: UInt64(seed))
        (options.hours, options.faultPause, options.faults) = (0.1, .seconds(10), faults)
        options.mutation = mutation
        return Simulation(options).run()
    }

    /// A minute after the faults nothing would be seen of it.
    @Test func aFailureThatIsRememberedForHalfAMinuteIsFound() {
        let faults: Set<Fault> = [.stsDown, .iamDown]
        var found: Set<Invariant> = []
        for seed in 1...60 where !found.contains(.liveness) {
            let report = run(seed, faults)
            #expect(report.violations.isEmpty, "\(report.line)\n\(report.violations.map(\.line))\n\(report.tail)")
            found.formUnion(run(seed, faults, .failuresKeptTooLong).violations.map(\.invariant))
        }
        #expect(found.contains(.liveness))
    }

    /// Refusals of both quotas for minutes: their nodes keep a pace, and pods get their tokens at it.
    @Test func aPodWaitsForItsNodesPaceAndNoLonger() {
        var checks = 0
        for seed in 1...20 {
            let report = run(seed, [.stsThrottle, .iamThrottle])
            #expect(report.violations.isEmpty, "\(report.line)\n\(report.violations.map(\.line))\n\(report.tail)")
            checks += report.checks[.liveness, default: 0]
        }
        #expect(checks > 40)
    }
}
