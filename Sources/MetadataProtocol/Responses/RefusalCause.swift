package import Attribution
package import Tokens

/// Why a request did not get what it asked for: the closed set behind every refusal's text.
package enum RefusalCause: String, Sendable, Hashable, CaseIterable {
    // Refusals because of the caller.
    case notInPod = "not_in_pod"
    case podGone = "pod_gone"
    case podFinished = "pod_finished"
    case staticPod = "static_pod"
    case podTooLarge = "pod_too_large"
    /// A policy refuses it.
    case denied
    /// A policy refuses it, too: the pod's next connection passes.
    case passedThrough = "passed_through"
    case podUnknown = "pod_unknown"

    // Refusals because of the request.
    case malformed
    case badQuery = "bad_query"
    case cannotWait = "cannot_wait"
    case missingAudience = "missing_audience"
    case audienceNotConfigured = "audience_not_configured"
    case forwarded
    case unknownHost = "unknown_host"
    case missingFlavor = "missing_flavor"
    case methodNotAllowed = "method_not_allowed"
    case boundTokenNotSupported = "bound_token_not_supported"
    case notFound = "not_found"
    case badAnnotation = "bad_annotation"
    case requestTargetTooLong = "request_target_too_long"
    case headersTooLarge = "headers_too_large"
    case bodyTooLarge = "body_too_large"
    case requestTimedOut = "request_timed_out"
    case answerTimedOut = "answer_timed_out"
    case tooManyConnections = "too_many_connections"
    /// The request lacks the token that AWS's protocol wants fetched first.
    case sessionTokenMissing = "session_token_missing"
    /// The request's token is another pod's, or one that has ended.
    case sessionTokenInvalid = "session_token_invalid"
    /// The ServiceAccount names no identity of the cloud whose protocol was spoken.
    case cloudIdentityMissing = "cloud_identity_missing"
    /// The annotation does not name one.
    case cloudIdentityInvalid = "cloud_identity_invalid"
    /// The configuration does not let the namespace use it.
    case cloudIdentityNotAllowed = "cloud_identity_not_allowed"
    /// The request names another one than the annotation.
    case cloudIdentityUnknown = "cloud_identity_unknown"

    // Refusals because of an upstream or of a limit.
    /// Kubernetes said no: no token for the pod, or no look at its ServiceAccount.
    case tokenRequestRefused = "token_request_refused"
    /// Google's STS said no.
    case exchangeRefused = "exchange_refused"
    /// IAM said no.
    case impersonationRefused = "impersonation_refused"
    /// The token service of a cloud besides Google said no.
    case cloudExchangeRefused = "cloud_exchange_refused"
    case googleServiceAccountNotFound = "google_service_account_not_found"
    /// An upstream did not answer, or not usably.
    case upstreamFailed = "upstream_failed"
    case limited
    case timedOut = "timed_out"
    case noGoogleServiceAccount = "no_google_service_account"
}

extension RefusalCause {
    package init(_ refusal: IdentityRefusal) {
        self =
            switch refusal {
            case .notInPod: .notInPod
            case .podGone: .podGone
            case .podFinished: .podFinished
            case .staticPod: .staticPod
            case .podTooLarge: .podTooLarge
            case .denied: .denied
            case .passedThrough: .passedThrough
            }
    }

    package init(_ refusal: RequestRefusal) {
        self =
            switch refusal {
            case .malformed: .malformed
            case .badQuery: .badQuery
            case .forwarded: .forwarded
            case .unknownHost: .unknownHost
            case .methodNotAllowed: .methodNotAllowed
            case .notFound: .notFound
            case .requestTargetTooLong: .requestTargetTooLong
            case .headersTooLarge: .headersTooLarge
            case .bodyTooLarge: .bodyTooLarge
            case .requestTimedOut: .requestTimedOut
            case .answerTimedOut: .answerTimedOut
            case .tooManyConnections: .tooManyConnections
            case .room(let refusal): refusal.cause
            }
    }

    package init(_ failure: TokenFailure) {
        self =
            switch failure {
            case .upstream(let failure, _, _):
                switch (failure.kind, failure.upstream) {
                // A second, new token was refused as well.
                case (.staleSubjectToken, .cloud): .cloudExchangeRefused
                case (.rateLimited, _), (.unavailable, _), (.staleSubjectToken, _): .upstreamFailed
                case (_, .kubernetes): .tokenRequestRefused
                case (_, .securityTokenService): .exchangeRefused
                case (.notFound, .iamCredentials): .googleServiceAccountNotFound
                case (_, .iamCredentials): .impersonationRefused
                case (_, .cloud): .cloudExchangeRefused
                }
            case .limited: .limited
            case .timedOut: .timedOut
            case .podGone: .podGone
            case .noGoogleServiceAccount: .noGoogleServiceAccount
            }
    }
}

extension Response {
    package func because(_ cause: RefusalCause) -> Response {
        var response = self
        response.cause = cause
        return response
    }
}
