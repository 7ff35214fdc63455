import Tokens

/// Bounds how many PodCertificateRequests a node leaves in the API: each is an object in etcd for a quarter of an hour.
///
/// A node has up to ``openLimit`` open while signers decide; once one was left undecided, one, with pauses that grow.
struct PodCertificateGate: Sendable {
    static let openLimit = 16
    static let backoff = Backoff(shortest: .seconds(5), longest: .seconds(120))

    private var open = 0
    private var undecided = 0
    private var quietUntil: ContinuousClock.Instant?

    /// Why no request may be created now; `nil`: one may, and its end must be told.
    mutating func begin(at now: ContinuousClock.Instant) -> String? {
        if undecided > 0 {
            if open > 0 { return "no signer has decided the last one, and another is open" }
            if let quietUntil, now < quietUntil {
                return "no signer has decided the last \(undecided); asked again in "
                    + "\((quietUntil - now).components.seconds + 1) s"
            }
        }
        guard open < Self.openLimit else { return "\(Self.openLimit) of this node are open" }
        open += 1
        return nil
    }

    /// One ended: decided, left undecided, or never created (`nil`).
    mutating func end(wasDecided: Bool?, at now: ContinuousClock.Instant) {
        open -= 1
        switch wasDecided {
        case true: undecided = 0
        case false:
            undecided += 1
            quietUntil = now + Self.backoff.pause(after: undecided)
        case nil: break
        }
    }
}
