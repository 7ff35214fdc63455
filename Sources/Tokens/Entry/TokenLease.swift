import Attribution
import Synchronization

/// A promise about one cached token: while it holds, a request for that token, of that pod and ServiceAccount, gets the
/// same answer, down to the seconds that remain. Nothing is fetched for it.
///
/// A lease ends by itself when the remaining seconds fall or a refresh is due, so within a second. It ends at once with any
/// change of what the token service holds for the pod or for all pods: simple to be right about, and changes are few beside
/// requests. Other pods' requests do not end it, however many they are.
package struct TokenLease: Sendable {
    let changes: LeaseEpochs.Epoch
    let end: ContinuousClock.Instant

    init(changes: LeaseEpochs.Epoch = .init(all: 0, shard: 0, ofShard: 0), end: ContinuousClock.Instant) {
        self.changes = changes
        self.end = end
    }
}

extension TokenLease {
    /// Returns the same promise for at most `limit` from now; `nil` if that is no time.
    package func ending(within limit: Duration) -> TokenLease? {
        guard limit > .zero else { return nil }
        return limit >= .seconds(1) ? self : TokenLease(changes: changes, end: min(end, .now + limit))
    }

    /// Whether its time is over. It may have ended before.
    package var hasEnded: Bool { ContinuousClock.now >= end }
}

/// The leases that a change of the token service ends.
enum EndedLeases: Sendable {
    /// The change shows in no answer.
    case none
    /// The change shows in answers to this pod alone.
    case of(PodUID)
    case all
}

/// Counts the changes that could show in an answer, for all pods and for groups of pods that share a counter.
struct LeaseEpochs: ~Copyable, Sendable {
    /// The counters at one moment, as far as they concern one pod.
    struct Epoch: Sendable, Equatable {
        let all: UInt64
        let shard: UInt8
        let ofShard: UInt64
    }

    private static let mask: UInt8 = 63
    private let all = Atomic<UInt64>(0)
    private let shards = InlineArray<64, Atomic<UInt64>> { _ in Atomic(0) }

    private static func shard(of pod: PodUID) -> UInt8 {
        UInt8(truncatingIfNeeded: pod.hashValue) & mask
    }

    /// Counts one change. Called with the token service's lock held.
    func end(_ leases: EndedLeases) {
        switch leases {
        case .none: break
        case .of(let pod): shards[Int(Self.shard(of: pod))].wrappingAdd(1, ordering: .releasing)
        case .all: all.wrappingAdd(1, ordering: .releasing)
        }
    }

    func now(for pod: PodUID) -> Epoch {
        let shard = Self.shard(of: pod)
        return Epoch(
            all: all.load(ordering: .acquiring), shard: shard,
            ofShard: shards[Int(shard)].load(ordering: .acquiring))
    }

    func isNow(_ epoch: Epoch) -> Bool {
        all.load(ordering: .acquiring) == epoch.all
            && shards[Int(epoch.shard)].load(ordering: .acquiring) == epoch.ofShard
    }
}
