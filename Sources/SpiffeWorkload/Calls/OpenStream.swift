package import Attribution
import NIOCore
import Synchronization

/// One open stream of one pod: how it learns of a change, and of its end.
struct OpenStream: Sendable {
    let id: Int
    let method: WorkloadMethod
    let peer: WorkloadPeer
    let eventLoop: any EventLoop
    /// Called on any thread with the pod as it is now, when what the stream shows may have changed.
    let changed: @Sendable (PodRecord) -> Void
    let end: @Sendable (GRPCStatus) -> Void
}

extension IdentityStore {
    /// Registers a stream, so that what changes is pushed into it.
    ///
    /// - Returns: The stream's number, for ``remove(_:of:)``.
    /// - Throws: The limit that the pod has reached.
    func open(
        _ method: WorkloadMethod, for pod: PodRecord, peer: WorkloadPeer, eventLoop: any EventLoop,
        changed: @escaping @Sendable (PodRecord) -> Void, end: @escaping @Sendable (GRPCStatus) -> Void
    ) throws(GRPCStatus) -> Int {
        let number: Int? = storage.withLock { storage in
            guard !storage.isClosed else { return nil }
            var identity = storage.pods[pod.uid] ?? PodIdentity(pod: pod)
            guard identity.streams.count < configuration.streamsPerPod else { return -1 }
            storage.nextStream += 1
            identity.streams[storage.nextStream] = OpenStream(
                id: storage.nextStream, method: method, peer: peer, eventLoop: eventLoop, changed: changed, end: end)
            storage.pods[pod.uid] = identity
            return storage.nextStream
        }
        guard let number else { throw .draining }
        guard number >= 0 else { throw .streamLimit }
        return number
    }

    func remove(_ stream: Int, of pod: PodUID) {
        storage.withLock { storage in
            storage.pods[pod]?.streams[stream] = nil
            if let identity = storage.pods[pod], identity.isSpent {
                identity.renewal?.cancel()
                storage.pods[pod] = nil
            }
        }
    }

    /// Attributes the stream again, and lets it show what that pod gets now; or ends it.
    func push(into stream: OpenStream) {
        switch stream.peer.identify() {
        case .refused(let refusal): stream.end(refusal.status)
        // The record is on its way: what it will say decides.
        case .pending: return
        case .caller(let caller): stream.changed(caller.pod)
        }
    }

    /// Returns the message that a stream of `method` shows now, if it is cached.
    func message(of method: WorkloadMethod, for pod: PodRecord) -> ByteBuffer? {
        switch method {
        case .fetchX509SVID: certificateMessage(for: pod)
        case .fetchX509Bundles, .fetchJWTBundles: storage.withLock { $0.bundleMessages[method] }
        case .fetchJWTSVID, .validateJWTSVID, .streamSecrets: nil
        }
    }

    /// Drops everything of a pod that is gone, and ends its streams.
    package func forget(_ uid: PodUID) {
        let identity = storage.withLock { $0.pods.removeValue(forKey: uid) }
        guard let identity else { return }
        identity.renewal?.cancel()
        identity.fetch?.cancel()
        for token in identity.tokens.values { token.fetch?.cancel() }
        for stream in identity.streams.values { stream.end(IdentityRefusal.podGone.status) }
    }

    /// Ends the streams whose pod has ended or is refused since, whatever was the first sign of it.
    package func recheck() {
        let streams = storage.withLock { $0.pods.values.flatMap(\.streams.values) }
        for stream in streams {
            if case .refused(let refusal) = stream.peer.identify() { stream.end(refusal.status) }
        }
    }

    /// Takes no more calls. Returns the streams that are open.
    func close() -> [OpenStream] {
        storage.withLock { storage in
            storage.isClosed = true
            storage.bundleFetch?.cancel()
            for identity in storage.pods.values {
                identity.renewal?.cancel()
                identity.fetch?.cancel()
            }
            return storage.pods.values.flatMap(\.streams.values)
        }
    }

    /// How many streams are open, certificates and tokens held.
    package var holdings: (streams: Int, certificates: Int, tokens: Int) {
        storage.withLock { storage in
            storage.pods.values.reduce(into: (0, 0, 0)) { sum, identity in
                sum.0 += identity.streams.count
                sum.1 += identity.svid == nil ? 0 : 1
                sum.2 += identity.tokens.values.count { $0.token != nil }
            }
        }
    }
}

extension IdentityStore.PodIdentity {
    /// Whether it holds nothing that a call could get.
    var isSpent: Bool { streams.isEmpty && svid == nil && fetch == nil && tokens.isEmpty && failure == nil }
}
