import Attribution
import MetadataProtocol
import NIOCore
import Tokens

/// Answers with cached credentials, or on the way to one, each for as long as its lease holds: a second at most.
///
/// An answer is found by the pod that it was for and the request. The caller is identified for every request all the
/// same, and an answer for a pod whose record has changed in anything is not found.
///
/// One per thread, which is why it needs no lock.
final class ResponseCache {
    /// More than the pods of a node that ask within a second.
    static let limit = 1024
    /// A pod asks for a handful of tokens within a second. One that asks for more looks them up.
    static let limitPerPod = 16

    private struct Key: Hashable {
        let pod: PodUID
        let request: MetadataRequest
    }

    private let loop: (any EventLoop)?
    private var entries: [Key: CachedResponse] = [:]
    /// How many of `entries` each pod has.
    private var counts: [PodUID: Int] = [:]
    private var isSweeping = false

    /// Makes a cache that drops answers soon after their leases have ended, if `loop` is given: no token stays for
    /// longer than it is of use. Otherwise ``dropEnded()`` has to be called.
    init(loop: (any EventLoop)? = nil) {
        self.loop = loop
    }

    var count: Int { entries.count }

    func answer(to request: MetadataRequest, from pod: PodRecord, isValid: (TokenLease) -> Bool) -> CachedResponse? {
        guard let entry = entries[Key(pod: pod.uid, request: request)], entry.pod == pod, isValid(entry.lease) else {
            return nil
        }
        return entry
    }

    /// Keeps the answer, unless its pod or all pods have as many as they may.
    func store(_ response: Response, to request: MetadataRequest, from pod: PodRecord, for lease: TokenLease) {
        let key = Key(pod: pod.uid, request: request)
        if entries[key] == nil {
            guard entries.count < Self.limit, counts[pod.uid, default: 0] < Self.limitPerPod else { return }
            counts[pod.uid, default: 0] += 1
        }
        entries[key] = CachedResponse(response, for: pod, lease)
        sweepLater()
    }

    /// Drops the answers whose leases have ended.
    func dropEnded() {
        entries = entries.filter { !$0.value.lease.hasEnded }
        counts = entries.keys.reduce(into: [:]) { $0[$1.pod, default: 0] += 1 }
    }

    private func sweepLater() {
        guard !isSweeping, let loop else { return }
        isSweeping = true
        loop.assumeIsolated().scheduleTask(in: .seconds(1)) {
            self.isSweeping = false
            self.dropEnded()
            if !self.entries.isEmpty { self.sweepLater() }
        }
    }
}

@available(*, unavailable)
extension ResponseCache: Sendable {}
