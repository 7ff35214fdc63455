import Testing

@testable import Signer

/// The share of the signer's work that one node gets.
@Suite struct NodeSharesTests {
    @Test("a node over its share waits, is told so once, and takes nothing from another")
    func rate() {
        var limits = NodeShares.Limits()
        (limits.rate, limits.burst) = (2, 3)
        let shares = NodeShares(limits)
        let now = ContinuousClock.now
        for _ in 0..<3 { #expect(shares.take("a", at: now) == .granted) }
        #expect(shares.take("a", at: now) == .limited(wait: .milliseconds(500), isNews: true))
        #expect(shares.take("a", at: now) == .limited(wait: .milliseconds(500), isNews: false))
        #expect(shares.take("b", at: now) == .granted)
        #expect(shares.take("a", at: now + .milliseconds(500)) == .granted)
        #expect(shares.take("a", at: now + .milliseconds(500)) == .limited(wait: .milliseconds(500), isNews: true))
    }

    @Test("nodes beyond the table's size wait until others have their whole share again")
    func table() {
        var limits = NodeShares.Limits()
        (limits.rate, limits.burst, limits.nodes) = (1, 1, 2)
        let shares = NodeShares(limits)
        let now = ContinuousClock.now
        for name in ["a", "b"] { #expect(shares.take(name, at: now) == .granted) }
        #expect(shares.take("c", at: now) == .limited(wait: .seconds(1), isNews: false))
        #expect(shares.take("c", at: now + .seconds(1)) == .granted)
    }

    @Test("an address has so many exchanges under way, and one more for each that ends")
    func underWay() {
        var limits = NodeShares.Limits()
        limits.underWay = 2
        let shares = NodeShares(limits)
        #expect(shares.begin("a") && shares.begin("a") && !shares.begin("a"))
        #expect(shares.begin("b"))
        shares.end("a")
        #expect(shares.begin("a") && !shares.begin("a"))
    }
}
