import Simulation
import Testing

/// Rules of the judge, each with a bug of the agent that it finds.
@Suite struct JudgeTests {
    /// Whether the bug breaks an invariant in one of the first worlds, and the violation's text holds `words`.
    private func finds(
        _ mutation: Mutation, by invariant: Invariant, _ words: String? = nil, in seeds: ClosedRange<UInt64> = 1...12,
        _ change: (inout SimulationOptions) -> Void = { _ in }
    ) -> Bool {
        seeds.contains { seed in
            var options = SimulationOptions(seed: seed)
            (options.hours, options.faultPause, options.mutation) = (0.5, .seconds(30), mutation)
            change(&options)
            return Simulation(options).run().violations.contains { violation in
                violation.invariant == invariant && (words.map { violation.text.contains($0) } ?? true)
            }
        }
    }

    @Test func aStatusThatNoDocumentNamesIsFound() {
        #expect(finds(.statusesInvented, by: .answered, "which no document names"))
    }

    /// Half of the pods ask for as much as they can, and the others get theirs all the same.
    @Test func aPodThatAsksForLittleGetsItBesideGreedyOnes() {
        var looks = 0
        for seed in 1...40 {
            var options = SimulationOptions(seed: UInt64(seed))
            (options.hours, options.faultPause, options.greed) = (0.15, .seconds(20), 0.5)
            let report = Simulation(options).run()
            #expect(report.violations.isEmpty, "\(report.line)\n\(report.violations.map(\.line))\n\(report.tail)")
            looks += report.checks[.ownLimits, default: 0]
        }
        #expect(looks > 100)
        #expect(finds(.limitsShared, by: .ownLimits) { $0.greed = 0.5 })
    }

    @Test func aDamagedHandOverIsNotUsed() {
        func upgrade(_ options: inout SimulationOptions) { options.faults = [.agentUpgrades, .handoverDamaged] }
        var damaged = 0
        for seed in 1...4 {
            var options = SimulationOptions(seed: UInt64(seed))
            (options.hours, options.faultPause) = (0.5, .seconds(30))
            upgrade(&options)
            let report = Simulation(options).run()
            #expect(report.violations.isEmpty, "\(report.line)\n\(report.violations.map(\.line))\n\(report.tail)")
            damaged += report.faults[.handoverDamaged, default: 0]
        }
        #expect(damaged > 4)
        #expect(finds(.versionsIgnored, by: .freeUpgrade, "a hand-over that was damaged", upgrade))
    }

    @Test(arguments: [
        (Mutation.tokensLogged, "a message of the log"), (.refusalsShowTokens, "the refusal of request"),
        (.refusalsShowTokens, "an Event"),
    ])
    func aTokenInATextIsFound(_ mutation: Mutation, in text: String) {
        #expect(finds(mutation, by: .secrecy, text))
    }
}
