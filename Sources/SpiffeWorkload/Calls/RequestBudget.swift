import Attribution
import Synchronization

/// The bytes of requests that the endpoint keeps: of one pod, and of all pods.
///
/// ``WorkloadConfiguration`` bounds what one call may bring; without the budget a pod could bring it on every stream of every
/// connection at once.
final class RequestBudget: Sendable {
    private struct Storage {
        /// `nil`: of callers that are no pod's.
        var pods: [PodUID?: Int] = [:]
        var total = 0
    }

    private let storage = Mutex(Storage())
    private let podLimit: Int
    private let totalLimit: Int

    init(podLimit: Int, totalLimit: Int) {
        self.podLimit = podLimit
        self.totalLimit = totalLimit
    }

    /// Adds `bytes`, which may be negative, to what the pod's requests take.
    ///
    /// - Returns: Whether that fits; `false`: nothing was added.
    fileprivate func add(_ bytes: Int, to pod: PodUID?) -> Bool {
        storage.withLock { storage in
            let count = storage.pods[pod, default: 0] + bytes
            guard bytes <= 0 || (count <= podLimit && storage.total + bytes <= totalLimit) else { return false }
            storage.total += bytes
            storage.pods[pod] = count > 0 ? count : nil
            return true
        }
    }

    /// All bytes that are kept, for tests.
    var total: Int { storage.withLock(\.total) }
    /// Pods that have any.
    var podCount: Int { storage.withLock(\.pods.count) }
}

/// One call's share of a ``RequestBudget``. The call gives it back at its end.
struct BudgetShare: ~Copyable {
    /// The pod whose limit counts.
    private struct Payer {
        /// `nil`: no pod's.
        let pod: PodUID?
    }

    private let budget: RequestBudget
    private let peer: WorkloadPeer
    /// Found when there is something to pay for: most calls are answered as they arrive.
    private var payer: Payer?
    private var bytes = 0

    init(_ budget: RequestBudget, _ peer: WorkloadPeer) {
        self.budget = budget
        self.peer = peer
    }

    deinit {
        if let payer, bytes > 0 { _ = budget.add(-bytes, to: payer.pod) }
    }

    /// Makes the share as large as what the call keeps now.
    ///
    /// - Throws: The status that the call ends with, if the pod keeps too much.
    mutating func set(_ count: Int) throws(GRPCStatus) {
        guard count != bytes else { return }
        let payer = self.payer ?? Payer(pod: peer.pod)
        self.payer = payer
        guard budget.add(count - bytes, to: payer.pod) else { throw .budget }
        bytes = count
    }
}

extension WorkloadPeer {
    /// The pod that a connection is counted for; `nil`: no pod's.
    var pod: PodUID? { identify().pod }
}
