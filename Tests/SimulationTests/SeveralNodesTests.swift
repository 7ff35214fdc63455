import Simulation
import Testing

/// Worlds of three nodes: their agents share the API server, the clouds and the pods' accounts, and nothing else.
@Suite struct SeveralNodesTests {
    @Test func everyInvariantHolds() {
        for seed in 1...30 {
            var options = SimulationOptions(seed: UInt64(seed))
            (options.hours, options.nodes, options.podsPerNode) = (0.1, 3, 2)
            options.faultPause = .seconds(5)
            let report = Simulation(options).run()
            #expect(report.violations.isEmpty, "\(report.line)\n\(report.violations.map(\.line))\n\(report.tail)")
            #expect(report.agents >= 3)
        }
    }
}
