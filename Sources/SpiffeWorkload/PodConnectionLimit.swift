package import Attribution
import Synchronization

/// Bounds the connections that each pod may have at once to something that costs memory before a request arrives.
package final class PodConnectionLimit: Sendable {
    /// A connection's place, which it gives back when nothing holds this any more.
    package final class Place: Sendable {
        private let limit: PodConnectionLimit
        private let pod: PodUID?

        fileprivate init(_ limit: PodConnectionLimit, _ pod: PodUID?) {
            self.limit = limit
            self.pod = pod
        }

        deinit { limit.leave(pod) }
    }

    private let most: Int
    private let counts = Mutex<[PodUID?: Int]>([:])

    package init(_ most: Int) {
        self.most = most
    }

    /// Takes a place for a connection of `pod` (`nil`: of no pod); `nil`: the pod has all of its places.
    package func enter(_ pod: PodUID?) -> Place? {
        let isFree = counts.withLock { counts in
            guard counts[pod, default: 0] < most else { return false }
            counts[pod, default: 0] += 1
            return true
        }
        return isFree ? Place(self, pod) : nil
    }

    private func leave(_ pod: PodUID?) {
        counts.withLock { counts in
            let count = counts[pod, default: 1] - 1
            counts[pod] = count > 0 ? count : nil
        }
    }

    /// Pods that have a place.
    var podCount: Int { counts.withLock(\.count) }
}
