import Fleet
import Testing

/// Many agents before one quota. `make fleet` runs 5,000 of them.
@Suite struct FleetTests {
    private func run(_ scenario: FleetScenario, paces: Bool, knowsShare: Bool = false) -> FleetReport {
        var options = FleetOptions(scenario: scenario)
        (options.nodes, options.podsPerNode) = (20, 10)
        (options.exchangesPerMinute, options.impersonationsPerMinute) = (8, 80)
        options.paces = paces
        options.knowsShare = knowsShare
        return Fleet(options).run()
    }

    private func refused(_ report: FleetReport) -> Int { report.minutes.reduce(0) { $0 + $1.refusedExchanges } }

    @Test func theSameSeedHasTheSameMinutes() {
        var options = FleetOptions(scenario: .coldStart)
        (options.nodes, options.podsPerNode) = (10, 4)
        (options.exchangesPerMinute, options.impersonationsPerMinute) = (2, 20)
        let report = Fleet(options).run()
        #expect(report.json == Fleet(options).run().json)
        #expect(refused(report) > 0)
    }

    /// Large fleets recover within 1.2 times what the quota alone dictates. The pause of the last node, a minute at most, counts
    /// for more where there are ten. So does the time to find out that the quota is back: three minutes are added.
    @Test(arguments: FleetScenario.allCases)
    func aFleetRecoversFromEachScenario(_ scenario: FleetScenario) throws {
        var options = FleetOptions(scenario: scenario)
        // A share of the quota, and one node's share of it, as in a fleet of 5,000.
        (options.nodes, options.podsPerNode) = (10, 20)
        (options.exchangesPerMinute, options.impersonationsPerMinute) = (12, 120)
        let report = Fleet(options).run()
        let recovery = try #require(report.recovery)
        #expect(report.leastRecovery > .zero)
        let bound = report.leastRecovery * 1.2 + .seconds(180)
        #expect(recovery <= bound, "\(recovery), and \(report.leastRecovery) by the quota alone")
        let first = Int(scenario.end / .seconds(60))
        let minutes = report.minutes[first...].prefix(Int((recovery / .seconds(60)).rounded(.up)))
        let calls = minutes.reduce(0) { $0 + $1.exchanges }
        // Large fleets make up to 1.9 times as many calls as the quota has, fleets that do not learn it 20 to 40 times.
        #expect(calls <= 3 * options.exchangesPerMinute * minutes.count, "\(calls) calls in \(minutes.count) minutes")
    }

    @Test func refusalsTeachTheFleetItsQuota() throws {
        let (before, after) = (run(.coldStart, paces: false), run(.coldStart, paces: true))
        #expect(refused(after) * 10 < refused(before))
        let recovery = try #require(after.recovery)
        // A fleet of 20 nodes is coarse.
        #expect(recovery <= after.leastRecovery * 1.5)
        #expect(after.minutes.allSatisfy { $0.exchanges - $0.refusedExchanges <= 8 })
    }

    /// Each node keeps to its share, and none meets the quota's end.
    @Test func aFleetThatKnowsItsShareAsksForLittleMore() throws {
        let (learning, knowing) = (run(.rollout, paces: true), run(.rollout, paces: true, knowsShare: true))
        let recovery = try #require(knowing.recovery)
        #expect(recovery <= knowing.leastRecovery * 2)
        #expect(refused(knowing) * 3 < refused(learning))
    }

    @Test func whereTheQuotaSufficesNothingIsRefused() throws {
        var options = FleetOptions(scenario: .coldStart)
        (options.nodes, options.podsPerNode, options.exchangesPerMinute) = (20, 10, 6_000)
        let report = Fleet(options).run()
        #expect(refused(report) == 0)
        // Every pod has started after ten minutes.
        let recovery = try #require(report.recovery)
        #expect(recovery >= .seconds(540) && recovery <= .seconds(620))
    }
}
