package import Attribution
import FoundationEssentials
package import NIOCore
package import SpiffeIdentity
import Synchronization

/// The SVIDs of this node's pods, and the streams that wait for the next.
///
/// A fetch belongs to the pod and not to the call that began it: other calls meanwhile join it. Keys are made here,
/// live in memory alone, and go with their pod.
package final class IdentityStore: Sendable {
    let configuration: WorkloadConfiguration
    let issuer: any SVIDIssuing
    let observer: any WorkloadObserver
    /// The loop on which timers run.
    private let loop: any EventLoop
    let storage = Mutex(Storage())
    let budget: RequestBudget

    package init(
        configuration: WorkloadConfiguration, issuer: any SVIDIssuing, observer: any WorkloadObserver,
        loop: any EventLoop
    ) {
        self.configuration = configuration
        self.issuer = issuer
        self.observer = observer
        self.loop = loop
        budget = RequestBudget(podLimit: configuration.pendingBytes.pod, totalLimit: configuration.pendingBytes.all)
    }

    struct Storage {
        var pods: [PodUID: PodIdentity] = [:]
        var bundle: TrustBundle?
        /// The messages that carry the bundle alone.
        var bundleMessages: [WorkloadMethod: ByteBuffer] = [:]
        var bundleFetch: Task<Result<TrustBundle, IssueFailure>, Never>?
        var nextStream = 0
        var isClosed = false
    }

    /// One pod's SVIDs and streams.
    struct PodIdentity {
        var pod: PodRecord
        var svid: X509SVID?
        /// The message that carries it, with the bundle of that moment.
        var message: ByteBuffer?
        var fetch: Task<Result<X509SVID, IssueFailure>, Never>?
        var failure: (failure: IssueFailure, until: ContinuousClock.Instant)?
        var renewal: Scheduled<Void>?
        var streams: [Int: OpenStream] = [:]
        var tokens: [TokenQuery: HeldToken] = [:]
    }

    // MARK: Certificates

    /// The message of FetchX509SVID, if one can be given at once.
    func certificateMessage(for pod: PodRecord) -> ByteBuffer? {
        storage.withLock { storage in
            guard let identity = storage.pods[pod.uid], identity.pod.isSameIdentity(as: pod), let svid = identity.svid,
                svid.notAfter > Date(), let message = identity.message
            else { return nil }
            return message
        }
    }

    /// The certificate and the bundle of this moment, as far as there are any.
    func certificateAndBundle(for pod: PodRecord) -> (X509SVID?, TrustBundle?) {
        storage.withLock { storage in
            let identity = storage.pods[pod.uid].flatMap { $0.pod.isSameIdentity(as: pod) ? $0 : nil }
            return (identity?.svid.flatMap { $0.notAfter > Date() ? $0 : nil }, storage.bundle)
        }
    }

    /// The same, obtained if need be.
    func fetchCertificateMessage(for pod: PodRecord) async throws(GRPCStatus) -> ByteBuffer {
        if let message = certificateMessage(for: pod) { return message }
        switch await certificateFetch(for: pod) {
        case .failure(let failure): throw failure.status
        case .success(let fetch):
            switch await fetch.value {
            case .failure(let failure): throw failure.status
            case .success:
                guard let message = certificateMessage(for: pod) else {
                    throw GRPCStatus(.unavailable, "the pod went away meanwhile")
                }
                return message
            }
        }
    }

    private func certificateFetch(
        for pod: PodRecord
    ) async -> Result<Task<Result<X509SVID, IssueFailure>, Never>, IssueFailure> {
        storage.withLock { storage in
            guard !storage.isClosed else { return .failure(IssueFailure(.unavailable, "the agent stops")) }
            var identity = storage.pods[pod.uid] ?? PodIdentity(pod: pod)
            if !identity.pod.isSameIdentity(as: pod) {
                identity.renewal?.cancel()
                identity = PodIdentity(pod: pod, streams: identity.streams)
            }
            if let fetch = identity.fetch { return .success(fetch) }
            if let (failure, until) = identity.failure, ContinuousClock.now < until { return .failure(failure) }
            let fetch = Task { await self.obtainCertificate(for: pod) }
            identity.fetch = fetch
            storage.pods[pod.uid] = identity
            return .success(fetch)
        }
    }

    /// Obtains a certificate for a new key, trying again for as long as a client waits.
    private func obtainCertificate(for pod: PodRecord) async -> Result<X509SVID, IssueFailure> {
        let begin = ContinuousClock.now
        let result = await retrying(until: begin + configuration.holdLimit) { () async throws(IssueFailure) in
            try await self.certificate(for: pod)
        }
        switch result {
        case .success(let svid):
            observer.issued(
                IssuedSVID(kind: .x509, id: svid.id, serialNumber: svid.serialNumber, audience: []), for: pod,
                took: ContinuousClock.now - begin)
        case .failure(let failure): observer.failed(.x509, for: pod, failure)
        }
        settle(pod, result)
        return result
    }

    /// Returns the certificate that the pod has, or else asks for one, once, which is not kept.
    package func tryCertificate(for pod: PodRecord) async -> Result<X509SVID, IssueFailure> {
        if let held = certificateAndBundle(for: pod).0 { return .success(held) }
        do throws(IssueFailure) { return .success(try await certificate(for: pod)) } catch { return .failure(error) }
    }

    private func certificate(for pod: PodRecord) async throws(IssueFailure) -> X509SVID {
        let id = try spiffeID(of: pod)
        let key = WorkloadKey()
        let request: [UInt8]
        do throws(SpiffeError) { request = try key.signingRequest() } catch {
            throw IssueFailure(.unavailable, error.description)
        }
        let chain = try await issuer.certificate(for: pod, request: request)
        if let svid = try? X509SVID(chain: chain, key: key, id: id, bundle: try await bundle()) { return svid }
        // A new authority signs already, and the bundle that names it has not been read yet.
        let bundle = try await refreshedBundle()
        do throws(SpiffeError) {
            return try X509SVID(chain: chain, key: key, id: id, bundle: bundle)
        } catch {
            throw IssueFailure(.unavailable, "the signer's certificate cannot be used: \(error)")
        }
    }

    private func settle(_ pod: PodRecord, _ result: Result<X509SVID, IssueFailure>) {
        let streams: [OpenStream] = storage.withLock { storage in
            // The pod has gone, or is another by now.
            guard var identity = storage.pods[pod.uid], identity.pod.isSameIdentity(as: pod) else { return [] }
            identity.fetch = nil
            let wait: TimeAmount
            switch result {
            case .success(let svid):
                identity.svid = svid
                identity.failure = nil
                identity.message = storage.bundle.map { WorkloadMessages.certificate(svid, $0) }
                wait = configuration.renewalDelay(of: svid, failed: false)
            case .failure(let failure):
                let memory = configuration.memory(of: failure)
                identity.failure = (failure, .now + memory)
                // Not earlier: a renewal that finds the failure does not ask, and nothing sets the time of the next.
                wait = max(configuration.renewalDelay(of: identity.svid, failed: true), TimeAmount(memory))
            }
            identity.renewal?.cancel()
            identity.renewal = loop.scheduleTask(in: wait) { [weak self] in self?.renew(pod.uid) }
            storage.pods[pod.uid] = identity
            guard case .success = result else { return [] }
            return identity.streams.values.filter(\.method.showsCertificate)
        }
        for stream in streams { push(into: stream) }
    }

    /// Renews the certificate of a pod that has a stream open. One that no stream watches is looked at again until its end:
    /// a stream that opens meanwhile shows it, and waits for the next.
    func renew(_ uid: PodUID) {
        let pod: PodRecord? = storage.withLock { storage in
            guard let identity = storage.pods[uid], !storage.isClosed else { return nil }
            if identity.streams.values.contains(where: \.method.showsCertificate) { return identity.pod }
            if let svid = identity.svid, svid.notAfter > Date() {
                let wait = configuration.renewalDelay(of: svid, failed: true)
                storage.pods[uid]?.renewal = loop.scheduleTask(in: wait) { [weak self] in self?.renew(uid) }
            } else if identity.streams.isEmpty, identity.fetch == nil {
                storage.pods[uid] = nil
            }
            return nil
        }
        guard let pod else { return }
        Task { _ = await certificateFetch(for: pod) }
    }

    func spiffeID(of pod: PodRecord) throws(IssueFailure) -> SpiffeID {
        guard
            let id = SpiffeID(
                configuration.trustDomain, namespace: pod.namespace, serviceAccount: pod.serviceAccountName)
        else { throw IssueFailure(.denied, "the pod's ServiceAccount has no name that fits into a SPIFFE ID") }
        return id
    }

    /// Tries again what did not answer, with pauses, until `deadline`.
    func retrying<Value: Sendable>(
        until deadline: ContinuousClock.Instant, _ attempt: () async throws(IssueFailure) -> Value
    ) async -> Result<Value, IssueFailure> {
        var pause = Duration.milliseconds(200)
        while true {
            do throws(IssueFailure) {
                return .success(try await attempt())
            } catch {
                guard error.kind == .unavailable, ContinuousClock.now + pause < deadline,
                    (try? await Task.sleep(for: pause)) != nil
                else { return .failure(error) }
                pause = min(pause * 2, .seconds(2))
            }
        }
    }
}

extension PodRecord {
    /// Whether two records speak for the same pod and identity: a restored backup brings a UID back with another pod.
    func isSameIdentity(as other: PodRecord) -> Bool {
        uid == other.uid && namespace == other.namespace && name == other.name
            && serviceAccountName == other.serviceAccountName
    }
}
