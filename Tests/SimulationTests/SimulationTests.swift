import Simulation
import Testing

/// The agent's decisions in the simulated world. `make simulate` runs more seeds, for longer.
@Suite struct SimulationTests {
    @Test func theSameSeedHasTheSameTrace() {
        var options = SimulationOptions(seed: 7)
        (options.hours, options.nodes) = (0.5, 2)
        let (first, second) = (Simulation(options).run(), Simulation(options).run())
        #expect(first.events > 100)
        #expect(first.checksum == second.checksum)
        #expect(first.events == second.events)
    }

    @Test func everyInvariantHolds() {
        for seed in 1...300 { expectNothingBroken(UInt64(seed), hours: 0.06, faultPause: .seconds(4), pods: 3) }
    }

    /// Seeds that once broke an invariant: see docs/simulation.md.
    @Test(arguments: [(126, 1.0, 60), (135, 1.0, 60), (5_034, 0.1, 8), (5_042, 0.1, 8)])
    func whatWasFoundStaysRepaired(seed: UInt64, hours: Double, pause: Int) {
        expectNothingBroken(seed, hours: hours, faultPause: .seconds(pause), pods: 6)
    }

    /// An agent that had missed the end of a UID's first pod handed that pod's token to a successor that knew the second one.
    @Test func aUIDsSecondPodGetsNothingOfTheFirstByAHandOver() {
        expectNothingBroken(2948, hours: 3.1, faultPause: .seconds(600), pods: 2)
    }

    /// A decision at the moment in which the agent learns of a UID's second pod is judged by what it knew before.
    @Test func whatIsDecidedWhenNewsArriveIsOfBefore() {
        expectNothingBroken(590, hours: 6, faultPause: .seconds(600), pods: 2)
    }

    /// A check that cannot fail checks nothing: `make simulate` tries every mutation.
    @Test(arguments: [
        (Mutation.tokensShared, Invariant.ownToken), (.attributedByName, .ownToken), (.waitsUnbounded, .answered),
        (.mintsAuditedTwice, .audit), (.goneCgroupsKept, .bounded), (.retriesAtOnce, .retry),
        (.lifetimesByNodeClock, .lifetime), (.sleepNotCounted, .lifetime), (.mirrorsBelieved, .ownToken),
        (.departedPodsKept, .bounded), (.tokenRequestsDoubled, .singleFetch), (.pausesNeverGrow, .retry),
    ])
    func aBugIsFound(_ mutation: Mutation, by invariant: Invariant) {
        var found: Set<Invariant> = []
        for seed in 1...12 where !found.contains(invariant) {
            var options = SimulationOptions(seed: UInt64(seed))
            (options.hours, options.faultPause, options.mutation) = (0.5, .seconds(30), mutation)
            found.formUnion(Simulation(options).run().violations.map(\.invariant))
        }
        #expect(found.contains(invariant), "\(mutation) is found by \(found) alone")
    }

    /// The same for a bug that shows only where UIDs are used again, and the agent lists its pods.
    @Test func tokensOfAFormerPodAreFound() {
        var found: Set<Invariant> = []
        for seed in 1...4 where !found.contains(.ownToken) {
            var options = SimulationOptions(seed: UInt64(seed))
            (options.hours, options.faultPause, options.faults) = (0.5, .seconds(30), [.podUIDReused, .watchGarbage])
            #expect(Simulation(options).run().violations.isEmpty)
            options.mutation = .tokensKept
            found.formUnion(Simulation(options).run().violations.map(\.invariant))
        }
        #expect(found.contains(.ownToken))
    }

    private func expectNothingBroken(_ seed: UInt64, hours: Double, faultPause: Duration, pods: Int) {
        var options = SimulationOptions(seed: seed)
        (options.hours, options.faultPause, options.podsPerNode) = (hours, faultPause, pods)
        let report = Simulation(options).run()
        #expect(report.violations.isEmpty, "\(report.line)\n\(report.violations.map(\.line))\n\(report.tail)")
    }
}
