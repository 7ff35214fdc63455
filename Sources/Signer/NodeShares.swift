import Synchronization
import Tokens

/// Bounds the part of a signer's work that one node gets, so that a node that asks without end takes nothing from others.
///
/// Before a proof is reviewed the peer's address is all that is known: it has so many exchanges under way. After that the
/// API server has named the node, which has so many signatures a second.
package final class NodeShares: Sendable {
    package struct Limits: Sendable, Hashable {
        /// Exchanges of one address under way at once. Several nodes may have one address, behind a translation.
        package var underWay = 64
        /// Signatures a second of one node, on average.
        package var rate = 20.0
        /// Signatures that a node may have at once: a node full of pods that starts.
        package var burst = 1000.0
        /// Nodes that are told apart: more than clusters have.
        package var nodes = 16_384

        package init() {}
    }

    /// The answer to one who asks.
    enum Verdict: Sendable, Hashable {
        case granted
        /// `isNews`: the one before was granted.
        case limited(wait: Duration, isNews: Bool)
    }

    private struct Share {
        var bucket: RateBucket
        var isLimited = false
    }

    private struct Storage {
        var shares: [String: Share] = [:]
        var underWay: [String: Int] = [:]
    }

    private let limits: Limits
    private let storage = Mutex(Storage())

    package init(_ limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Begins an exchange of an address; `false`: as many are under way as may be. What has begun must be ended.
    func begin(_ address: String) -> Bool {
        storage.withLock { storage in
            let count = storage.underWay[address, default: 0]
            guard count < limits.underWay else { return false }
            storage.underWay[address] = count + 1
            return true
        }
    }

    func end(_ address: String) {
        storage.withLock { storage in
            let count = storage.underWay[address, default: 0]
            storage.underWay[address] = count > 1 ? count - 1 : nil
        }
    }

    /// Takes one signature from a node's share.
    func take(_ node: String, at now: ContinuousClock.Instant) -> Verdict {
        storage.withLock { storage in
            if storage.shares[node] == nil, storage.shares.count >= limits.nodes {
                // A full share is as good as none.
                storage.shares = storage.shares.filter { !$0.value.bucket.isFull(at: now) }
                guard storage.shares.count < limits.nodes else { return .limited(wait: .seconds(1), isNews: false) }
            }
            var share =
                storage.shares[node]
                ?? Share(bucket: RateBucket(rate: limits.rate, burst: limits.burst, now: now))
            defer { storage.shares[node] = share }
            guard let wait = share.bucket.take(at: now) else {
                share.isLimited = false
                return .granted
            }
            defer { share.isLimited = true }
            return .limited(wait: wait, isNews: !share.isLimited)
        }
    }
}
