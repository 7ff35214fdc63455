import FoundationEssentials
import KubernetesAPI
import Logging
import Tokens

/// Signs the PodCertificateRequests of this signer's two names, while this replica holds the Lease.
struct PodCertificateController: Sendable {
    let client: KubernetesClient
    let judge: PodCertificateJudge
    let keys: KeyHolder
    /// The shares of the exchange, because a node has one for both; `nil`: nodes are not bounded.
    let shares: NodeShares?
    let log: SignatureLog
    let logger: Logger

    /// Requests that are decided at once.
    private static let width = 16
    /// A watch ends after this many seconds, and a list finds what was missed.
    private static let watchSeconds = 240
    /// How long an API server without the resource is left in peace.
    private static let absence = Duration.seconds(300)

    /// Follows the requests until the task is cancelled, which ends what only the holder of the Lease may do.
    func run() async {
        var lastComplaint = ""
        while !Task.isCancelled {
            var pause = Self.absence
            do throws(UpstreamFailure) {
                if let version = try await client.podCertificateVersion() {
                    logger.info(
                        "the signer decides PodCertificateRequests", metadata: ["version": "\(version.groupVersion)"])
                    await withTaskGroup(of: Void.self) { group in
                        for name in [PodCertificateSignerName.spiffe, PodCertificateSignerName.nodeServing] {
                            group.addTask { await follow(name, version) }
                        }
                    }
                    pause = .seconds(1)
                    lastComplaint = ""
                } else if lastComplaint != "absent" {
                    lastComplaint = "absent"
                    logger.info("the API server serves no PodCertificateRequests: the exchange alone is served")
                }
            } catch {
                pause = .seconds(5)
                if lastComplaint != error.message {
                    logger.warning(
                        "the signer cannot ask the API server for PodCertificateRequests",
                        metadata: ["reason": "\(error.message)"])
                }
                lastComplaint = error.message
            }
            guard (try? await Task.sleep(for: pause)) != nil else { return }
        }
    }

    /// Lists and watches the requests of one name again and again; returns when the API server no longer serves them.
    private func follow(_ name: String, _ version: PodCertificateVersion) async {
        // Requests are decided at the side, so that neither list nor watch waits for a decision.
        let (found, continuation) = AsyncStream.makeStream(
            of: PodCertificateRequest.self, bufferingPolicy: .bufferingOldest(65_536))
        async let deciding: Void = decideAll(found, version)
        await passAgain(name, version, continuation)
        continuation.finish()
        await deciding
    }

    private func passAgain(
        _ name: String, _ version: PodCertificateVersion,
        _ found: AsyncStream<PodCertificateRequest>.Continuation
    ) async {
        var pause = Duration.milliseconds(500)
        var lastComplaint = ""
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do throws(UpstreamFailure) {
                try await pass(name, version, found)
                // Watches that end at once must not become a list every half second.
                pause = ContinuousClock.now - began < .seconds(5) ? min(pause * 2, .seconds(10)) : .milliseconds(500)
                lastComplaint = ""
            } catch  where error.status == 404 {
                return
            } catch {
                if lastComplaint != error.message {
                    logger.warning(
                        "the watch of PodCertificateRequests failed",
                        metadata: ["signer": "\(name)", "reason": "\(error.message)"])
                }
                lastComplaint = error.message
                pause = min(pause * 2, .seconds(10))
            }
            guard (try? await Task.sleep(for: pause * Double.random(in: 0.8...1.2))) != nil else { return }
        }
    }

    /// Lists the undecided requests once, and watches for more until the watch ends.
    private func pass(
        _ name: String, _ version: PodCertificateVersion,
        _ found: AsyncStream<PodCertificateRequest>.Continuation
    ) async throws(UpstreamFailure) {
        let resourceVersion = try await client.listPodCertificateRequests(of: name, version) { request in
            if request.decision == nil { found.yield(request) }
        }
        try await client.watchPodCertificateRequests(
            of: name, version, from: resourceVersion, seconds: Self.watchSeconds
        ) { event in
            switch event {
            case .updated(let request):
                guard request.decision == nil else { return true }
                // Where too many wait, the next list finds the rest.
                if case .enqueued = found.yield(request) { return true }
                return false
            case .deleted, .bookmark: return true
            case .failure, .malformed: return false
            }
        }
    }

    private func decideAll(_ requests: AsyncStream<PodCertificateRequest>, _ version: PodCertificateVersion) async {
        let underWay = RequestsUnderWay()
        let decision = PodCertificateDecision(
            judge: { await judge.judge($0, keys: keys.current) }, write: { await write($0, $1, version) }, log: log)
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            for await request in requests {
                let uid = request.metadata.uid ?? ""
                guard underWay.begin(request, uid) else { continue }
                guard mayTake(request) else {
                    // The request stays open, holds no place, and is found again by the next list.
                    _ = underWay.end(uid, isDecided: true)
                    continue
                }
                if running == Self.width {
                    await group.next()
                    running -= 1
                }
                running += 1
                group.addTask { await decision.decide(request, uid, underWay) }
            }
        }
    }

    /// Whether pod and node have a signature left, by the names that NodeRestriction has checked.
    private func mayTake(_ request: PodCertificateRequest) -> Bool {
        let spec = request.spec
        guard case .limited(_, let isNews) = shares?.take(pod: spec.podUID, node: spec.nodeName, at: .now) else {
            return true
        }
        log.recordLimit(of: request, isNews: isNews)
        return false
    }

    private func write(
        _ verdict: PodCertificateVerdict, _ request: PodCertificateRequest, _ version: PodCertificateVersion
    ) async -> PodCertificateDecision.Writing {
        let status: PodCertificateRequest.Status
        switch verdict {
        case .pending(let reason): return .failed(reason)
        case .issued(let certificate): status = certificate.status
        case .denied(let reason, let message):
            let condition = PodCertificateRequest.Condition(
                type: PodCertificateRequest.Outcome.denied.rawValue, reason: reason, message: message,
                time: PodCertificateJudge.text(Date()))
            status = PodCertificateRequest.Status(conditions: [condition])
        }
        do throws(UpstreamFailure) {
            try await client.setStatus(status, of: request, version)
            return .written
        } catch  where [404, 409].contains(error.status) {
            return .superseded
        } catch {
            return .failed("the decision could not be written: \(error.message)")
        }
    }
}
