import Simulation
import Testing

/// Faults that are left out of a world, so that a seed that breaks something becomes smaller.
@Suite struct LeftOutTests {
    private func run(without faults: Set<Fault>) -> Simulation.Report {
        var options = SimulationOptions(seed: 3)
        (options.hours, options.faultPause, options.leftOut) = (0.2, .seconds(30), faults)
        return Simulation(options).run()
    }

    @Test func aFaultThatDidNotHappenIsLeftOutForNothing() {
        let whole = run(without: [])
        let unseen = Set(Fault.allCases.filter { whole.faults[$0] == nil })
        #expect(!unseen.isEmpty)
        let smaller = run(without: unseen)
        #expect(smaller.checksum == whole.checksum)
        #expect(smaller.faults == whole.faults)
    }

    @Test func aFaultThatIsLeftOutDoesNotHappen() throws {
        let whole = run(without: [])
        let fault = try #require(Fault.allCases.first { whole.faults[$0] != nil })
        let smaller = run(without: [fault])
        #expect(smaller.faults[fault] == nil)
        #expect(!smaller.faults.isEmpty)
        #expect(smaller.checksum != whole.checksum)
    }
}
