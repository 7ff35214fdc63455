import Testing

@testable import Signer

/// The share of the signer's work that one pod, one node and one address get.
@Suite struct NodeSharesTests {
    private static func shares(_ change: (inout NodeShares.Limits) -> Void) -> NodeShares {
        var limits = NodeShares.Limits()
        change(&limits)
        return NodeShares(limits)
    }

    @Test("a node over its share waits, is told so once a minute, and takes nothing from another")
    func rate() {
        let shares = Self.shares { $0.node = NodeShares.Rate(average: 2, burst: 3) }
        let now = ContinuousClock.now
        for pod in ["1", "2", "3"] { #expect(shares.take(pod: pod, node: "a", at: now) == .granted) }
        let wait = Duration.milliseconds(500)
        #expect(shares.take(pod: "4", node: "a", at: now) == .limited(wait: wait, isNews: true))
        #expect(shares.take(pod: "5", node: "a", at: now) == .limited(wait: wait, isNews: false))
        #expect(shares.take(pod: "6", node: "b", at: now) == .granted)
        #expect(shares.take(pod: "7", node: "a", at: now + wait) == .granted)
        #expect(shares.take(pod: "8", node: "a", at: now + wait) == .limited(wait: wait, isNews: false))
        let later = now + .seconds(60)
        for pod in 10..<13 { #expect(shares.take(pod: "\(pod)", node: "a", at: later) == .granted) }
        #expect(shares.take(pod: "13", node: "a", at: later) == .limited(wait: wait, isNews: true))
    }

    @Test("a pod over its share takes nothing of its node's")
    func pod() {
        let shares = Self.shares {
            $0.pod = NodeShares.Rate(average: 1, burst: 1)
            $0.node = NodeShares.Rate(average: 1, burst: 2)
        }
        let now = ContinuousClock.now
        #expect(shares.take(pod: "loud", node: "a", at: now) == .granted)
        for _ in 0..<9 { #expect(shares.take(pod: "loud", node: "a", at: now) != .granted) }
        #expect(shares.take(pod: "quiet", node: "a", at: now) == .granted)
    }

    @Test("pods beyond the table's size wait until others have their whole share again")
    func table() {
        let shares = Self.shares {
            $0.pod = NodeShares.Rate(average: 1, burst: 1)
            $0.kept = 2
        }
        let now = ContinuousClock.now
        for name in ["a", "b"] { #expect(shares.take(pod: name, node: nil, at: now) == .granted) }
        #expect(shares.take(pod: "c", node: nil, at: now) == .limited(wait: .seconds(1), isNews: false))
        #expect(shares.take(pod: "c", node: nil, at: now + .seconds(1)) == .granted)
    }

    @Test("an address has so many connections and exchanges under way, and one more for each that ends")
    func underWay() {
        let shares = Self.shares { ($0.underWay, $0.connections) = (2, 2) }
        let now = ContinuousClock.now
        for _ in 0..<2 { #expect(shares.begin("a", at: now) == .granted && shares.connect("a")) }
        #expect(shares.begin("a", at: now) == .limited(wait: .seconds(1), isNews: true) && !shares.connect("a"))
        #expect(shares.begin("a", at: now) == .limited(wait: .seconds(1), isNews: false))
        #expect(shares.begin("b", at: now) == .granted && shares.connect("b"))
        shares.end("a")
        shares.disconnect("a")
        #expect(shares.begin("a", at: now) == .granted && shares.connect("a"))
        #expect(shares.begin("a", at: now) != .granted && !shares.connect("a"))
    }
}
