package import Attribution
import Synchronization

/// The container of each pod that last had to wait for something: a fetch serves all who ask for the same token, so
/// this is as much as can be said of who caused it. A label for the audit.
package final class RecentCallers: Sendable {
    package struct Caller: Sendable, Equatable {
        var containerID: String?
        var cgroupID: CgroupID
    }

    /// Pods that are remembered: more than a node runs.
    private static let limit = 4096

    private let callers = Mutex<[PodUID: Caller]>([:])

    package init() {}

    package func note(_ identification: Identification) {
        guard case .caller(let caller) = identification else { return }
        callers.withLock { callers in
            guard callers[caller.pod.uid] != nil || callers.count < Self.limit else { return }
            callers[caller.pod.uid] = Caller(containerID: caller.containerID, cgroupID: caller.cgroupID)
        }
    }

    /// The number of pods that are remembered.
    package var count: Int { callers.withLock { $0.count } }

    func last(of pod: PodUID) -> Caller? { callers.withLock { $0[pod] } }

    package func forget(_ pod: PodUID) { callers.withLock { _ = $0.removeValue(forKey: pod) } }
}
