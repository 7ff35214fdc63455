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
        #expect(run(.coldStart, paces: true).json == run(.coldStart, paces: true).json)
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
