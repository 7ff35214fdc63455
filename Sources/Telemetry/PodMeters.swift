package import Attribution
package import Operations
import Synchronization

/// Counts the requests of each pod, for `podidentd debug top`.
///
/// An answer takes one lock for some nanoseconds. The table is bounded: pods beyond ``limit`` share one meter, and a pod that
/// is gone loses its own.
package final class PodMeters: Sendable {
    /// More pods than a node has.
    package static let limit = 1024

    package struct Meter: Sendable {
        package var requests: UInt64 = 0
        package var refusals: UInt64 = 0
        package var latency = LatencyCounts()

        package init() {}
    }

    private struct Table {
        var pods: [PodUID: Meter] = [:]
        /// Callers without an identity, and pods beyond the limit.
        var others = Meter()
    }

    private let table = Mutex(Table())
    private let began = ContinuousClock.now

    package init() {}

    /// Counts one answer.
    package func count(pod: PodUID?, isRefusal: Bool, nanoseconds: UInt64?) {
        table.withLock { table in
            guard let pod else { return table.others.count(isRefusal: isRefusal, nanoseconds: nanoseconds) }
            // One look-up, but for a pod's first answer.
            if table.pods[pod]?.count(isRefusal: isRefusal, nanoseconds: nanoseconds) != nil { return }
            guard table.pods.count < Self.limit else {
                return table.others.count(isRefusal: isRefusal, nanoseconds: nanoseconds)
            }
            table.pods[pod, default: Meter()].count(isRefusal: isRefusal, nanoseconds: nanoseconds)
        }
    }

    /// The meters of all pods that exist, and of everything else by `nil`. Drops those of the others.
    package func snapshot(exists: (PodUID) -> Bool) -> [PodUID?: Meter] {
        let (pods, others) = table.withLock { ($0.pods, $0.others) }
        let gone = pods.keys.filter { !exists($0) }
        if !gone.isEmpty { table.withLock { table in for pod in gone { table.pods[pod] = nil } } }
        var result: [PodUID?: Meter] = [:]
        for (pod, meter) in pods where exists(pod) { result[pod] = meter }
        if others.requests > 0 { result[nil] = others }
        return result
    }

    package func forget(_ pod: PodUID) {
        table.withLock { $0.pods[pod] = nil }
    }

    /// The time since this object began to count.
    package var countedMilliseconds: UInt64 {
        let (seconds, attoseconds) = (ContinuousClock.now - began).components
        return UInt64(max(0, seconds)) * 1000 + UInt64(max(0, attoseconds)) / 1_000_000_000_000_000
    }
}

extension PodMeters.Meter {
    fileprivate mutating func count(isRefusal: Bool, nanoseconds: UInt64?) {
        requests &+= 1
        if isRefusal { refusals &+= 1 }
        if let nanoseconds { latency.observe(nanoseconds: nanoseconds) }
    }
}
