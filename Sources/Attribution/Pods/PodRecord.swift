/// One pod of this node as the agent knows it, from the node's own pod watch.
package struct PodRecord: Sendable, Hashable {
    package enum Phase: String, Sendable, Hashable {
        case pending = "Pending"
        case running = "Running"
        case succeeded = "Succeeded"
        case failed = "Failed"
        case unknown = "Unknown"

        /// Whether the pod will never run again. The API server would still mint for it; the agent does not.
        package var isTerminal: Bool { self == .succeeded || self == .failed }
    }

    package var uid: PodUID
    package var namespace: String
    package var name: String
    /// `spec.serviceAccountName`; empty for mirror pods of static pods.
    package var serviceAccountName: String
    package var phase: Phase
    /// Whether `metadata.deletionTimestamp` is set. Such pods are served until their cgroup is gone.
    package var isTerminating: Bool
    package var isHostNetwork: Bool
    /// The annotation `kubernetes.io/config.hash` of a mirror pod (one that has `kubernetes.io/config.mirror`): the
    /// UID that the static pod's cgroup path carries.
    package var staticPodConfigHash: String?
    /// The rules' decision when the record was made: of what they look at, only the namespace and the name of the
    /// ServiceAccount are kept.
    package var policy: PodPolicy
    /// The labels that the audit names (`audit.labels`), as far as the pod has them. No decision looks at them.
    package var auditedLabels: [String: String]
    /// Whether the object is larger than the agent reads. Such a pod is known, and gets nothing: of its fields none but
    /// the name, the namespace and the UID is sure.
    package var isTooLarge: Bool

    package init(
        uid: PodUID,
        namespace: String,
        name: String,
        serviceAccountName: String,
        phase: Phase = .running,
        isTerminating: Bool = false,
        isHostNetwork: Bool = false,
        staticPodConfigHash: String? = nil,
        policy: PodPolicy = .attribute,
        auditedLabels: [String: String] = [:],
        isTooLarge: Bool = false
    ) {
        self.uid = uid
        self.namespace = namespace
        self.name = name
        self.serviceAccountName = serviceAccountName
        self.phase = phase
        self.isTerminating = isTerminating
        self.isHostNetwork = isHostNetwork
        self.staticPodConfigHash = staticPodConfigHash
        self.policy = policy
        self.auditedLabels = auditedLabels
        self.isTooLarge = isTooLarge
    }
}

/// One change of this node's set of pods.
package enum PodEvent: Sendable, Equatable {
    /// The complete set, from a list: whatever it does not name is gone.
    case replaced([PodRecord])
    case updated(PodRecord)
    case deleted(PodUID)
}

/// A pod whose connection the kernel tagged and whose UID this node's pod list confirms.
package struct Caller: Sendable, Hashable {
    package var pod: PodRecord
    /// The first level below the pod, parsed. A label for audit and the debug dump, never an identity.
    package var containerID: String?
    /// The pod-level cgroup.
    package var cgroupID: CgroupID

    package init(pod: PodRecord, containerID: String?, cgroupID: CgroupID) {
        self.pod = pod
        self.containerID = containerID
        self.cgroupID = cgroupID
    }
}

/// The answer to "whose connection is this?".
package enum Identification: Sendable, Hashable {
    case caller(Caller)
    /// The cgroup names a pod that the pod list does not show yet: hold the request, then 503.
    case pending(PodUID)
    case refused(IdentityRefusal)
}

/// Why a tagged connection has no identity. There is no fallback: each of these is a refusal.
package enum IdentityRefusal: Sendable, Hashable {
    /// The task was below the kubepods root, but in no pod's cgroup.
    case notInPod
    /// The pod's cgroup no longer exists, or the pod was deleted: a connection that outlived its pod.
    case podGone
    /// The pod is in phase Succeeded or Failed.
    case podFinished(namespace: String, name: String, phase: PodRecord.Phase)
    /// A static pod: it has no ServiceAccount, hence no identity.
    case staticPod(namespace: String, name: String)
    /// The pod's object in the API is too large to be read.
    case podTooLarge(namespace: String, name: String)
    /// The pod's policy is `deny`, and the connection is older than the kernel's knowing it.
    case denied(namespace: String, name: String)
    /// The pod's policy is `passthrough`, and the connection is older than the kernel's knowing it: the next one goes
    /// to the machine's own metadata server, and the agent has no answer to give in its place.
    case passedThrough(namespace: String, name: String)
}

extension Identification {
    /// The UID of the pod that the caller is in, whether its record has arrived or not; `nil`: the caller is refused.
    package var pod: PodUID? {
        switch self {
        case .caller(let caller): caller.pod.uid
        case .pending(let uid): uid
        case .refused: nil
        }
    }
}
