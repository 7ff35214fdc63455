import Attribution
import NIOCore
package import SpiffeIdentity
import Synchronization

extension IdentityStore {
    /// Returns the bundle as it was last read; reads it if it never was.
    func bundle() async throws(IssueFailure) -> TrustBundle {
        if let bundle = storage.withLock(\.bundle) { return bundle }
        return try await refreshedBundle()
    }

    /// The bundle of this moment, for another part of the agent.
    package func currentBundle() async throws(IssueFailure) -> TrustBundle { try await bundle() }

    /// Reads the bundle now, once however many ask.
    @discardableResult
    func refreshedBundle() async throws(IssueFailure) -> TrustBundle {
        let fetch = storage.withLock { storage in
            if let fetch = storage.bundleFetch { return fetch }
            let fetch = Task { await self.obtainBundle() }
            storage.bundleFetch = fetch
            return fetch
        }
        return try await fetch.value.get()
    }

    private func obtainBundle() async -> Result<TrustBundle, IssueFailure> {
        let result: Result<TrustBundle, IssueFailure>
        do throws(IssueFailure) {
            result = .success(try await issuer.bundle())
        } catch {
            result = .failure(error)
        }
        storage.withLock { $0.bundleFetch = nil }
        if case .success(let bundle) = result { adopt(bundle) }
        return result
    }

    /// Takes over a bundle, and pushes it into every stream if it is another than before.
    func adopt(_ bundle: TrustBundle) {
        let streams: [(PodUID, OpenStream)] = storage.withLock { storage in
            guard storage.bundle != bundle else { return [] }
            let isFirst = storage.bundle == nil
            storage.bundle = bundle
            storage.bundleMessages = [
                .fetchX509Bundles: WorkloadMessages.certificateBundles(bundle),
                .fetchJWTBundles: WorkloadMessages.tokenBundles(bundle),
            ]
            for (uid, identity) in storage.pods {
                guard let svid = identity.svid else { continue }
                storage.pods[uid]?.message = WorkloadMessages.certificate(svid, bundle)
            }
            return isFirst ? [] : storage.pods.flatMap { uid, identity in identity.streams.values.map { (uid, $0) } }
        }
        let spread = configuration.bundleSpread / .milliseconds(1)
        for (uid, stream) in streams {
            stream.eventLoop.scheduleTask(in: .milliseconds(Int64.random(in: 0...max(Int64(spread), 0)))) {
                [weak self] in
                // The stream may have ended meanwhile.
                guard let self, storage.withLock({ $0.pods[uid]?.streams[stream.id] }) != nil else { return }
                push(into: stream)
            }
        }
    }

    /// Reads the bundle again and again until the task is cancelled, and ends what has no pod any more.
    package func run() async {
        var pause = Duration.seconds(1)
        while !Task.isCancelled {
            do throws(IssueFailure) {
                try await refreshedBundle()
                pause = configuration.bundleInterval
            } catch {
                pause = min(pause * 2, configuration.bundleInterval)
            }
            guard (try? await Task.sleep(for: pause * Double.random(in: 0.9...1.1))) != nil else { return }
            recheck()
        }
    }

    /// The message of FetchX509Bundles or FetchJWTBundles, obtained if need be.
    func fetchBundleMessage(_ method: WorkloadMethod) async throws(GRPCStatus) -> ByteBuffer {
        let deadline = ContinuousClock.now + configuration.holdLimit
        switch await retrying(until: deadline, { () async throws(IssueFailure) in try await self.bundle() }) {
        case .failure(let failure): throw failure.status
        case .success:
            guard let message = storage.withLock({ $0.bundleMessages[method] }) else {
                throw GRPCStatus(.unavailable, "there is no bundle")
            }
            return message
        }
    }
}
