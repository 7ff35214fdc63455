/// Decides whether this process holds a Lease, may take it, or waits. A value: no clock, no network.
///
/// A holder is believed for as long as its Lease changed within the Lease's duration by this machine's own clock. No
/// timestamp of another machine is compared.
package struct LeasePlan: Sendable {
    package enum Step: Sendable, Hashable {
        /// There is no Lease yet.
        case create
        /// This process holds it, or no process does any more.
        case write(resourceVersion: String?, isNew: Bool, transitions: Int)
        /// Another holds it.
        case wait
    }

    /// How long a holder that does not renew is believed.
    package static let duration = Duration.seconds(15)
    /// How often a holder renews, and the others look.
    package static let period = Duration.seconds(3)
    /// A holder that could not renew for so long stops: before any other may begin.
    package static let deadline = Duration.seconds(10)

    package let identity: String
    private var seen: (spec: Lease.Spec, at: ContinuousClock.Instant)?
    private var renewed: ContinuousClock.Instant?

    package init(identity: String) {
        self.identity = identity
    }

    /// Whether this process may do what only the holder does.
    package func holds(at now: ContinuousClock.Instant) -> Bool {
        renewed.map { now - $0 < Self.deadline } ?? false
    }

    /// Takes what was read, and decides.
    package mutating func step(_ lease: Lease?, now: ContinuousClock.Instant) -> Step {
        guard let lease else { return .create }
        if seen?.spec != lease.spec { seen = (lease.spec, now) }
        let transitions = lease.spec.leaseTransitions ?? 0
        let version = lease.metadata.resourceVersion
        let holder = lease.spec.holderIdentity ?? ""
        if holder == identity { return .write(resourceVersion: version, isNew: false, transitions: transitions) }
        let life = lease.spec.leaseDurationSeconds.map { Duration.seconds($0) } ?? Self.duration
        let isOver = seen.map { now - $0.at >= life } ?? false
        guard holder.isEmpty || isOver else {
            renewed = nil
            return .wait
        }
        return .write(resourceVersion: version, isNew: true, transitions: transitions + 1)
    }

    /// The API server took what this process wrote, which was begun at `began`.
    package mutating func wrote(began: ContinuousClock.Instant) { renewed = began }

    /// Notes that another process was faster.
    package mutating func lost() { renewed = nil }
}
