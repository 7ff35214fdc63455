import Attribution
import Testing

@testable import KubernetesAPI

@Suite struct EventLedgerTests {
    private let start = ContinuousClock.now

    private func key(_ number: Int = 0, _ reason: PodWarning.Reason = .impersonationDenied) throws -> EventLedger.Key {
        let digits = String(number, radix: 16)
        let text = "34c94737-fd9b-4688-9caf-" + String(repeating: "0", count: 12 - digits.count) + digits
        return EventLedger.Key(pod: try #require(PodUID(text)), reason: reason)
    }

    @Test("one Event for a pod and reason, counted up after ten minutes and not before")
    func series() throws {
        var ledger = EventLedger()
        let key = try key()
        #expect(ledger.note(key, now: start) == .create)
        #expect(ledger.note(key, now: start + .seconds(700)) == .suppress)
        ledger.created(key, name: "e")
        #expect(ledger.note(key, now: start + .seconds(599)) == .suppress)
        #expect(ledger.note(key, now: start + .seconds(600)) == .update(name: "e", count: 4))
        #expect(ledger.note(key, now: start + .seconds(601)) == .suppress)
        #expect(ledger.note(try self.key(0, .noServiceAccount), now: start + .seconds(601)) == .create)
        ledger.forget(key)
        #expect(ledger.note(key, now: start + .seconds(602)) == .create)
    }

    @Test("a node full of failing pods writes as many Events as the bucket holds, and one every ten seconds")
    func bucket() throws {
        var ledger = EventLedger()
        let first = try (0..<100).map { ledger.note(try key($0), now: start) }
        #expect(first.filter { $0 == .create }.count == 25)
        #expect(first.suffix(75).allSatisfy { $0 == .drop })
        #expect(ledger.note(try key(99), now: start + .seconds(9)) == .drop)
        #expect(ledger.note(try key(99), now: start + .seconds(10)) == .create)
        #expect(ledger.note(try key(98), now: start + .seconds(10)) == .drop)
    }

    @Test("what is remembered is bounded, the oldest goes first")
    func bound() throws {
        var ledger = EventLedger()
        for number in 0..<(EventLedger.limit + 10) {
            #expect(ledger.note(try key(number), now: start + .seconds(10 * number)) == .create)
        }
        #expect(ledger.series.count == EventLedger.limit)
        #expect(ledger.series[try key(0)] == nil)
    }
}
