import BPF
import Testing

@testable import Enforcement

@Suite struct SelfCheckTests {
    private static let start = ContinuousClock.now

    /// Readings at these times after the start, by the clock that can be set and the one that cannot.
    private static func findings(_ readings: [(wall: Double, steady: Double)]) -> [TimeCheck.Finding] {
        var check = TimeCheck(interval: .seconds(2), first: TimeCheck.Reading(wall: 0, steady: start))
        return readings.flatMap { wall, steady in
            check.findings(at: TimeCheck.Reading(wall: wall, steady: start + .seconds(steady)))
        }
    }

    @Test("clocks that run alike, a little late or a little apart, are no news")
    func ordinary() {
        #expect(Self.findings([(2, 2), (4.1, 4.1), (7.9, 7.9), (13, 10)]) == [])
    }

    @Test("a clock that is set is seen once, in both directions")
    func steps() {
        #expect(Self.findings([(3602, 2), (3604, 4)]) == [.clockStepped(seconds: 3600)])
        #expect(Self.findings([(2, 2), (-3596, 4)]) == [.clockStepped(seconds: -3600)])
    }

    @Test("a process that did not run knows for how long, and that no clock was set")
    func stalls() {
        #expect(Self.findings([(32, 32), (34, 34)]) == [.stalled(seconds: 30)])
        #expect(Self.findings([(4, 4)]) == [])
    }

    @Test("what an earlier agent counted is not reported, nor what a healthy node counts")
    func earlierCounts() {
        var refusals = KernelRefusals(since: ["untagged": 5], at: Self.start)
        #expect(refusals.report(["untagged": 5, "redirected": 1000], at: Self.start) == nil)
        #expect(refusals.report(["untagged": 7], at: Self.start) == ["untagged": 2])
    }

    @Test("refusals are reported at once, then summed up once a minute")
    func pauses() {
        var refusals = KernelRefusals(since: [:], at: Self.start)
        #expect(refusals.report(["mismatched": 1], at: Self.start + .seconds(2)) == ["mismatched": 1])
        for second in stride(from: 4, through: 60, by: 2) {
            #expect(refusals.report(["mismatched": UInt64(second)], at: Self.start + .seconds(second)) == nil)
        }
        #expect(refusals.report(["mismatched": 100], at: Self.start + .seconds(62)) == ["mismatched": 99])
    }

    @Test("pods' connections are compared twice after a change of their sums, and then no more")
    func trafficNews() {
        var news = TrafficNews()
        func takes(_ redirected: UInt64, _ tagged: UInt64) -> Bool {
            news.take(["redirected": redirected, "tagged": tagged, "held": 1], own: ConnectionProof.Traffic())
        }
        #expect([takes(0, 0), takes(0, 0), takes(0, 0), takes(0, 0)] == [true, true, false, false])
        #expect([takes(3, 0), takes(3, 0), takes(3, 0)] == [true, true, false])
        #expect([takes(3, 1), takes(4, 1), takes(4, 1), takes(4, 1)] == [true, true, true, false])
    }

    @Test("the agent's own connections, counted among those of all pods, are no change")
    func ownTraffic() {
        var news = TrafficNews()
        func takes(_ redirected: UInt64, _ tagged: UInt64, own: UInt64) -> Bool {
            news.take(
                ["redirected": redirected, "tagged": tagged],
                own: ConnectionProof.Traffic(begun: own, arrived: own))
        }
        // An earlier agent's are counted as well, and this one's not yet.
        #expect([takes(9, 8, own: 0), takes(9, 8, own: 0), takes(9, 8, own: 0)] == [true, true, false])
        #expect([takes(11, 10, own: 2), takes(13, 12, own: 4)] == [false, false])
        #expect([takes(14, 12, own: 4), takes(16, 14, own: 6), takes(18, 16, own: 8)] == [true, true, false])
    }

    @Test("a host guard's table that is gone is put back, as often as another process removes it")
    func removedTable() {
        var check = TableCheck()
        for _ in 0..<2 {
            #expect(check.restore(.inPlace) { () throws(BPFError) in true } == .restored)
            check.seenInPlace()
        }
        #expect(check.restore(.unmounted) { () throws(BPFError) in true } == .restored)
        // Another process was faster.
        #expect(check.restore(.inPlace) { () throws(BPFError) in false } == nil)
    }

    @Test("a table that went with the pins stays away, which is said once")
    func uninstalledTable() {
        var (check, calls) = (TableCheck(), 0)
        func news(_ pins: HeldPins.State) -> TableCheck.News? {
            check.restore(pins) { () throws(BPFError) in
                calls += 1
                return true
            }
        }
        #expect([news(.removed), news(.removed)] == [.uninstalled, nil])
        #expect(calls == 0)
        // An agent that is installed again has its pins.
        #expect(news(.inPlace) == .restored)
        #expect(news(.removed) == .uninstalled)
        #expect(calls == 1)
    }

    @Test("why a table cannot be put back is said again when it changes, and no sooner")
    func failingTable() {
        var check = TableCheck()
        func news(_ number: CInt) -> TableCheck.News? {
            check.restore(.inPlace) { () throws(BPFError) in throw BPFError("install it", errorNumber: number) }
        }
        let errors = [1, 2].map { BPFError("install it", errorNumber: $0) }
        #expect([news(1), news(1), news(2), news(2)] == [.failed(errors[0]), nil, .failed(errors[1]), nil])
        check.seenInPlace()
        #expect(news(2) == .failed(errors[1]))
    }
}
