import Attribution

/// Identifies one fetch, so that a late result cannot be taken for another's.
struct FetchID: Sendable, Hashable {
    let rawValue: UInt64
}

/// The upstream step that a fetch is in. The texts appear in error messages and in the debug dump.
enum FetchStage: Sendable, Equatable {
    case queue
    case serviceAccount
    case tokenRequest
    case exchange
    case impersonation
    /// The exchange with a cloud besides Google.
    case cloudExchange(CloudName)

    var rawValue: String {
        switch self {
        case .queue: "the pod's fetch queue"
        case .serviceAccount: "the Kubernetes ServiceAccount"
        case .tokenRequest: "the Kubernetes TokenRequest"
        case .exchange: "Google STS"
        case .impersonation: "Google IAM Credentials"
        case .cloudExchange(let cloud): "the token service of the cloud \(cloud)"
        }
    }

    /// The upstream to blame when the stage does not end.
    var upstream: UpstreamFailure.Upstream {
        switch self {
        case .queue, .serviceAccount, .tokenRequest: .kubernetes
        case .exchange: .securityTokenService
        case .impersonation: .iamCredentials
        case .cloudExchange(let cloud): .cloud(cloud)
        }
    }
}

/// A fetch's report before its end.
enum FetchProgress: Sendable {
    /// The fetch begins a step.
    case stage(FetchStage)
    /// An attempt failed, and will be repeated.
    case setback(UpstreamFailure)
}

/// Upstream work that fills one entry.
enum FetchJob: Sendable {
    case token(TokenFetch)
    case serviceAccount(ServiceAccountFetch)
}

struct TokenFetch: Sendable {
    var id: FetchID
    var key: TokenKey
    var pod: PodRecord
    /// The token that authorizes the call to IAM Credentials; `nil` where the federated token itself is fetched.
    var federated: MintedToken?
    /// The time at which the request arrived that has waited longest for it.
    var waitingSince: ContinuousClock.Instant
    /// The time at which its first call could begin.
    var startedAt: ContinuousClock.Instant
    /// Whether the calls to its upstream are spaced: the fetch leaves it to the pace when a refused call is made again.
    var isSpaced = false
}

struct ServiceAccountFetch: Sendable {
    var id: FetchID
    var reference: ServiceAccountReference
    /// The time at which the request arrived that has waited longest for it.
    var waitingSince: ContinuousClock.Instant
}
