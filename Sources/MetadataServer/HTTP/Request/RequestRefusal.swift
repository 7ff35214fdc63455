package import Tokens

/// Why a request is refused, from every sender.
package enum RequestRefusal: Error, Sendable, Hashable {
    /// Not HTTP/1, or not unambiguous HTTP/1. The text says what is wrong.
    case malformed(String)
    /// A query parameter with a value that it cannot have.
    case badQuery(String)
    /// `wait_for_change` where there is no value to wait for.
    case cannotWait
    /// A token for an audience without one.
    case missingAudience
    /// A pod token for an audience that is not configured.
    case audienceNotConfigured(String)
    /// The request carries `X-Forwarded-For`, `Forwarded` or `Via`: a proxy sends another client's request on.
    case forwarded
    /// `Host` is no name of a metadata server: DNS rebinding looks like this.
    case unknownHost
    /// Without `Metadata-Flavor: Google`: a request that its sender did not mean for a metadata server.
    case missingFlavor
    case methodNotAllowed
    /// A POST for a token that is bound to a certificate.
    case boundTokenNotSupported
    case notFound
    /// The ServiceAccount's `iam.gke.io/gcp-service-account` is not an email.
    case badAnnotation(ServiceAccountReference)
    case requestTargetTooLong
    case headersTooLarge
    case bodyTooLarge
    case requestTimedOut
    /// No answer was found in time.
    case answerTimedOut
    case tooManyConnections
    /// In the words of another cloud's protocol.
    case cloud(CloudRefusal)
}

extension RequestRefusal {
    /// The bound that the request broke, if it is refused for that.
    var limit: LimitKind? {
        switch self {
        case .requestTargetTooLong: .requestTarget
        case .headersTooLarge: .headers
        case .bodyTooLarge: .body
        case .requestTimedOut: .requestTimeout
        case .answerTimedOut: .answerTimeout
        case .tooManyConnections: .connectionsPerPod
        case .malformed, .badQuery, .cannotWait, .missingAudience, .audienceNotConfigured, .forwarded, .unknownHost,
            .missingFlavor, .methodNotAllowed, .boundTokenNotSupported, .notFound, .badAnnotation, .cloud:
            nil
        }
    }
}
