package import Attribution
import BPF
import Synchronization

/// Compares, for each pod, the connections that the kernel redirected with those that arrived at the agent.
///
/// The proof by the agent's own connection stays in the node's network namespace. Faults inside another pod's (a filter
/// that does not accept the interface lo, a mesh that captures loopback addresses, no listener) show only here.
package final class ArrivalMonitor: Sendable {
    /// The fewest connections in a row that must be missing: one or two may be under way, or given up by their client.
    package static let unarrivedMin: UInt64 = 3

    /// The result of one look.
    package struct Finding: Sendable, Equatable {
        /// The pods whose latest connections were redirected and did not arrive.
        package var pods: Set<PodUID> = []
        /// Whether there are several, and no connection of any other pod with a network of its own has arrived since that
        /// began. One pod alone proves nothing: it can reset what it begins before it is accepted, and others may be silent
        /// for an hour.
        package var concernsNode = false
    }

    private struct State {
        var last: [CgroupID: PodTraffic] = [:]
        /// The time at which the first of the pods that fail now was found.
        var failingSince: ContinuousClock.Instant?
        var arrivedElsewhereAt: ContinuousClock.Instant?
        var finding = Finding()
    }

    private let ownPod: PodUID?
    private let index: CgroupIndex
    private let directory: PodDirectory
    private let state = Mutex(State())

    package init(ownPod: PodUID?, index: CgroupIndex, directory: PodDirectory) {
        self.ownPod = ownPod
        self.index = index
        self.directory = directory
    }

    package var current: Finding { state.withLock { $0.finding } }

    /// Names for people: `namespace/name`, or the UID of a pod that the list does not show.
    package func names(of pods: Set<PodUID>) -> [String] {
        pods.map { uid in directory.record(for: uid).map { "\($0.namespace)/\($0.name)" } ?? uid.description }.sorted()
    }

    /// Looks again, some seconds after the last look. A pod counts when nothing of it has arrived between the two, and
    /// enough was missing at both.
    func look(at traffic: [CgroupID: PodTraffic], now: ContinuousClock.Instant = .now) {
        state.withLock { state in
            let last = state.last
            state.last = traffic
            let failing = traffic.filter { id, count in
                guard let before = last[id] else { return false }
                return count.arrived == before.arrived && before.unarrived >= Self.unarrivedMin
                    && count.unarrived >= before.unarrived
            }
            guard !failing.isEmpty else {
                state.failingSince = nil
                state.finding = Finding()
                return
            }
            let uids = Dictionary(
                index.snapshot().filter { $0.kind == .pod }.map { ($0.id, $0.uid) },
                uniquingKeysWith: { first, _ in first })
            let pods = Set(failing.keys.compactMap { uids[$0] })
            let since = state.failingSince ?? now
            state.failingSince = since
            let hasArrived = traffic.contains { id, count in
                guard let before = last[id], count.arrived > before.arrived, let uid = uids[id], uid != ownPod
                else { return false }
                return directory.record(for: uid)?.isHostNetwork == false
            }
            if hasArrived { state.arrivedElsewhereAt = now }
            state.finding = Finding(
                pods: pods, concernsNode: pods.count > 1 && state.arrivedElsewhereAt.map { $0 < since } ?? true)
        }
    }
}
