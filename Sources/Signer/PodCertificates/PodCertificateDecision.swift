import KubernetesAPI
import Synchronization
import Tokens

/// Decides one request, and tries again what did not answer.
struct PodCertificateDecision: Sendable {
    /// How a verdict was taken.
    enum Writing: Sendable {
        case written
        /// Another has decided, or the request has gone or changed.
        case superseded
        case failed(String)
    }

    let judge: @Sendable (PodCertificateRequest) async -> PodCertificateVerdict
    let write: @Sendable (PodCertificateVerdict, PodCertificateRequest) async -> Writing
    let log: SignatureLog
    /// How long a request that could not be decided is tried again; the next list finds it later.
    var patience = Duration.seconds(60)
    private static let backoff = Backoff(shortest: .milliseconds(250), longest: .seconds(10))

    /// Decides a request that has begun, and what it becomes meanwhile.
    func decide(_ request: PodCertificateRequest, _ uid: String, _ underWay: RequestsUnderWay) async {
        var latest = request
        while true {
            let isDecided = await decide(latest)
            guard let newer = underWay.end(uid, isDecided: isDecided) else { return }
            latest = newer
        }
    }

    /// Decides the request as it was shown.
    ///
    /// - Returns: `false` if the request is still open, another by now, or gone.
    private func decide(_ request: PodCertificateRequest) async -> Bool {
        let end = ContinuousClock.now + patience
        var attempts = 0
        while !Task.isCancelled {
            let verdict = await judge(request)
            let problem: String
            switch await write(verdict, request) {
            case .written:
                log.record(verdict, of: request)
                return true
            case .superseded:
                log.record(.pending("the request was decided by another, has changed, or is gone"), of: request)
                return false
            case .failed(let reason): problem = reason
            }
            attempts += 1
            let pause = Self.backoff.pause(after: attempts)
            guard ContinuousClock.now + pause < end, (try? await Task.sleep(for: pause)) != nil else {
                log.record(.pending(problem), of: request)
                return false
            }
        }
        return false
    }
}

/// The requests that are being decided, by UID: lists and changes show them again.
final class RequestsUnderWay: Sendable {
    private struct Entry {
        /// The request as it was shown last, if that was after its decision began.
        var newer: PodCertificateRequest?
    }

    private let entries = Mutex<[String: Entry]>([:])

    /// Notes that a request is decided from now on.
    ///
    /// - Returns: `false` if it is already; what it is now is kept.
    func begin(_ request: PodCertificateRequest, _ uid: String) -> Bool {
        entries.withLock { entries in
            guard entries[uid] == nil else {
                entries[uid]?.newer = request
                return false
            }
            entries[uid] = Entry()
            return true
        }
    }

    /// Ends the decision of a request, or returns what it has become where the decision did not fit that.
    func end(_ uid: String, isDecided: Bool) -> PodCertificateRequest? {
        entries.withLock { entries in
            let newer = isDecided ? nil : entries[uid]?.newer
            entries[uid] = newer == nil ? nil : Entry()
            return newer
        }
    }
}
