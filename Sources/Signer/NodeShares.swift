import Synchronization
import Tokens

/// Bounds the part of a signer's work that one pod, one node and one address get, so that none takes it from others.
///
/// Before a proof is reviewed the peer's address is all that is known: it has so many connections and exchanges under way.
/// After that the API server has named pod and node, and each has so many signatures a second of this replica.
package final class NodeShares: Sendable {
    /// Signatures a second on average, and at once.
    package struct Rate: Sendable, Hashable {
        package var average: Double
        package var burst: Double

        package init(average: Double, burst: Double) {
            self.average = average
            self.burst = burst
        }
    }

    package struct Limits: Sendable, Hashable {
        /// Connections of one address. Several nodes may have one address, behind a translation.
        package var connections = 256
        /// Exchanges of one address under way at once.
        package var underWay = 64
        /// A pod's: what it uses up is not its node's.
        package var pod = Rate(average: 5, burst: 100)
        /// A node's: the burst is that of a node full of pods that starts.
        package var node = Rate(average: 20, burst: 1000)
        /// Pods, and nodes, that are told apart at once: those with a whole share are forgotten first.
        package var kept = 65_536

        package init() {}

        /// The limits by a node's signatures a second: fifty times as many at once, and a quarter and a tenth of them for a pod.
        package init(nodeRate: Int) {
            node = Rate(average: Double(nodeRate), burst: Double(50 * nodeRate))
            pod = Rate(average: node.average / 4, burst: node.burst / 10)
        }
    }

    /// The answer to one who asks.
    enum Verdict: Sendable, Hashable {
        case granted
        /// `isNews`: the log has not been told for a minute.
        case limited(wait: Duration, isNews: Bool)
    }

    private struct Share {
        var bucket: RateBucket
        var toldAt: ContinuousClock.Instant?
    }

    /// The shares of one kind.
    private struct Table {
        var shares: [String: Share] = [:]

        mutating func take(_ name: String, _ rate: Rate, kept: Int, at now: ContinuousClock.Instant) -> Verdict {
            if shares[name] == nil, shares.count >= kept {
                // A full share is as good as none.
                shares = shares.filter { !$0.value.bucket.isFull(at: now) }
                guard shares.count < kept else { return .limited(wait: .seconds(1), isNews: false) }
            }
            var share =
                shares[name] ?? Share(bucket: RateBucket(rate: rate.average, burst: rate.burst, now: now))
            defer { shares[name] = share }
            guard let wait = share.bucket.take(at: now) else { return .granted }
            return .limited(wait: wait, isNews: NodeShares.isNews(&share.toldAt, at: now))
        }
    }

    private struct Storage {
        var pods = Table()
        var nodes = Table()
        var connections: [String: Int] = [:]
        var underWay: [String: Int] = [:]
        /// The time at which the log had the last line about an address over its limits.
        var toldAt: ContinuousClock.Instant?
    }

    private static let silence = Duration.seconds(60)
    private let limits: Limits
    private let storage = Mutex(Storage())

    package init(_ limits: Limits = Limits()) {
        self.limits = limits
    }

    private static func isNews(_ toldAt: inout ContinuousClock.Instant?, at now: ContinuousClock.Instant) -> Bool {
        if let last = toldAt, now - last < silence { return false }
        toldAt = now
        return true
    }

    /// Counts a connection of an address; `false`: it has as many as it may. What is counted must be ended.
    func connect(_ address: String) -> Bool {
        storage.withLock { Self.begin(address, in: &$0.connections, limit: limits.connections) }
    }

    func disconnect(_ address: String) {
        storage.withLock { Self.end(address, in: &$0.connections) }
    }

    /// Begins an exchange of an address, unless as many are under way as may be. What has begun must be ended.
    func begin(_ address: String, at now: ContinuousClock.Instant = .now) -> Verdict {
        storage.withLock { storage in
            if Self.begin(address, in: &storage.underWay, limit: limits.underWay) { return .granted }
            return .limited(wait: .seconds(1), isNews: Self.isNews(&storage.toldAt, at: now))
        }
    }

    func end(_ address: String) {
        storage.withLock { Self.end(address, in: &$0.underWay) }
    }

    private static func begin(_ address: String, in counts: inout [String: Int], limit: Int) -> Bool {
        let count = counts[address, default: 0]
        guard count < limit else { return false }
        counts[address] = count + 1
        return true
    }

    private static func end(_ address: String, in counts: inout [String: Int]) {
        let count = counts[address, default: 0]
        counts[address] = count > 1 ? count - 1 : nil
    }

    /// Takes one signature from a pod's share, and then from its node's: a pod over its own takes nothing from others there.
    func take(pod: String, node: String?, at now: ContinuousClock.Instant) -> Verdict {
        storage.withLock { storage in
            let verdict = storage.pods.take(pod, limits.pod, kept: limits.kept, at: now)
            guard case .granted = verdict, let node else { return verdict }
            return storage.nodes.take(node, limits.node, kept: limits.kept, at: now)
        }
    }
}
