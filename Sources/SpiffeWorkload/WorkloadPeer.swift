package import Attribution

/// The pod at the other end of one connection, by the kernel's tag.
package struct WorkloadPeer: Sendable {
    package enum Transport: String, Sendable, Hashable {
        case tcp
        case unix
    }

    package let transport: Transport
    /// Identifies the caller now. Asked for every call, and before every push: a pod may vanish under its stream.
    package let identify: @Sendable () -> Identification
    /// The same, waiting at most so long for a pod whose record has not arrived yet.
    package let identifyHolding: @Sendable (Duration) async -> Identification

    package init(
        transport: Transport, identify: @escaping @Sendable () -> Identification,
        identifyHolding: @escaping @Sendable (Duration) async -> Identification
    ) {
        self.transport = transport
        self.identify = identify
        self.identifyHolding = identifyHolding
    }
}

extension IdentityRefusal {
    /// The status that the caller gets.
    var status: GRPCStatus {
        switch self {
        case .notInPod: .noIdentity("the caller runs in no pod")
        case .podGone: .noIdentity("the pod is gone")
        case .podFinished(let namespace, let name, let phase):
            .noIdentity("pod \(namespace)/\(name) has finished (\(phase.rawValue))")
        case .staticPod(let namespace, let name):
            .noIdentity("\(namespace)/\(name) is a static pod, which has no ServiceAccount")
        case .podTooLarge(let namespace, let name):
            .noIdentity("the object of pod \(namespace)/\(name) is too large to be read")
        case .denied(let namespace, let name): .noIdentity("the policy of pod \(namespace)/\(name) is deny")
        case .passedThrough(let namespace, let name):
            .noIdentity("the policy of pod \(namespace)/\(name) is passthrough")
        }
    }
}
