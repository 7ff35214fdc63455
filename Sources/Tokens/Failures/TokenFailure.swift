/// Why a caller does not get what it asked the token service for.
package enum TokenFailure: Error, Sendable, Hashable {
    /// Kubernetes or Google refused or failed, on behalf of `account` and, when impersonating, of the Google
    /// service account. The failure's `retryAfter` is when the service will ask again, if it will.
    case upstream(UpstreamFailure, account: ServiceAccountReference, googleServiceAccount: String?)
    /// The pod exceeded a limit of its own. `reason` says which, in words for the pod's owner.
    case limited(reason: String, retryAfter: Duration)
    /// The caller's share of time ended while a fetch was in `stage`; the fetch goes on, a repetition may find
    /// its result.
    case timedOut(stage: String)
    /// The pod went away while the caller waited, or just before.
    case podGone
    /// Identity tokens exist only for ServiceAccounts with the annotation `iam.gke.io/gcp-service-account`.
    case noGoogleServiceAccount(ServiceAccountReference)

    /// The time after which asking again makes sense; `nil` when nothing changes by waiting. At least one second, the
    /// resolution of the `Retry-After` header (RFC 9110, 10.2.3).
    package var retryAfter: Duration? {
        switch self {
        case .upstream(let failure, _, _):
            switch failure.kind {
            case .unavailable, .rateLimited, .staleSubjectToken: max(failure.retryAfter ?? .zero, .seconds(1))
            case .denied, .notFound, .misconfigured: nil
            }
        case .limited(_, let retryAfter): max(retryAfter, .seconds(1))
        case .timedOut: .seconds(1)
        case .podGone, .noGoogleServiceAccount: nil
        }
    }
}

extension TokenFailure: CustomStringConvertible {
    /// One line for logs. Upstream messages are bounded and free of secrets by contract.
    package var description: String {
        switch self {
        case .upstream(let failure, let account, let googleServiceAccount):
            let status = failure.status.map { " \($0)" } ?? ""
            let target = googleServiceAccount.map { " as \($0)" } ?? ""
            return
                "\(failure.upstream.rawValue)\(status) \(failure.kind.rawValue) for ServiceAccount \(account)\(target): "
                + failure.message
        case .limited(let reason, _): return "limited: \(reason)"
        case .timedOut(let stage): return "timed out waiting for \(stage)"
        case .podGone: return "the pod is gone"
        case .noGoogleServiceAccount(let account):
            return "ServiceAccount \(account) has no annotation iam.gke.io/gcp-service-account"
        }
    }
}
