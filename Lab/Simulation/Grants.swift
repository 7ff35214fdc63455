import Attribution

/// A token that a simulated upstream gave out, and to whom.
struct Grant {
    enum Kind: String {
        /// The pod-bound JWT of a TokenRequest.
        case subject
        case federated
        case access
        case identity
    }

    var serial: Int
    var kind: Kind
    var pod: PodUID
    /// The pod's number, which no other pod has, whatever its UID.
    var index: Int
    var namespace: String
    var account: String
    var accountUID: String
    /// The Google service account that it speaks for.
    var email: String?
    /// The audience, or the scopes as the request named them.
    var purpose: String
    /// The time at which it truly ends, whatever any clock says.
    var end: ContinuousClock.Instant
    var isRevoked = false
}

/// The calendar time of the simulated world.
enum WallTime {
    /// 2026-11-29T00:00:00Z.
    static let beginning: Int64 = 1_795_910_400
}
