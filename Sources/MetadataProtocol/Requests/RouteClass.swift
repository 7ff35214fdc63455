/// The class of a request's path.
package enum RouteClass: String, Sendable, Hashable, CaseIterable {
    case root
    case directory
    case value
    case account
    case accessToken = "access_token"
    case identityToken = "identity_token"
    case podToken = "pod_token"
    case podUID = "pod_uid"
    /// AWS's token that a client fetches first.
    case sessionToken = "session_token"
    /// The identity of another cloud, by name.
    case cloudListing = "cloud_listing"
    case cloudCredential = "cloud_credential"
    case cloudValue = "cloud_value"
    /// Nothing that this server serves.
    case unknown
    /// Refused before its route was known.
    case unrouted

    /// Whether a GET may mint.
    package var isCredential: Bool {
        switch self {
        case .accessToken, .identityToken, .podToken, .cloudCredential: true
        case .root, .directory, .value, .account, .podUID, .sessionToken, .cloudListing, .cloudValue, .unknown,
            .unrouted:
            false
        }
    }
}
