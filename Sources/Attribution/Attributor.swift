/// Answers "whose connection is this?" from what the kernel noted and what the pod list confirms.
///
/// Ask it for every request, not once for a connection: a pod may finish, or go, while its connection stays open.
package struct Attributor: Sendable {
    private let index: CgroupIndex
    private let directory: PodDirectory

    package init(index: CgroupIndex, directory: PodDirectory) {
        self.index = index
        self.directory = directory
    }

    /// Identifies the caller from what is known now, in a few hash look-ups.
    ///
    /// A caller without a pod-level cgroup has no identity, for one of two reasons. If all its ancestors down to the
    /// deepest possible pod level exist, it was not in a pod: `.notInPod`. If one is gone, it is unknown what it was,
    /// and a pod's cgroup is the one kind that comes and goes there: `.podGone`.
    ///
    /// The pod list decides about any other. A UID that it does not show is `.pending`, unless the watch said that the
    /// pod was deleted. A pod whose policy is not to be attributed gets here before the kernel knows its policy, or on
    /// a connection from before a change: it is refused, whatever else is known of it.
    package func identify(_ tag: CallerTag) -> Identification {
        switch self.index.lookUp(tag) {
        case .notInPod: .refused(.notInPod)
        case .gone: .refused(.podGone)
        case .found(let cgroup): self.identify(cgroup)
        }
    }

    /// Identifies the caller, and waits for its pod's record if need be: a pod's first request may come before the
    /// watch shows the pod.
    ///
    /// Still `.pending` after `limit`, or when the task was cancelled or too many requests wait already.
    package func identify(_ tag: CallerTag, holdingAtMost limit: Duration) async -> Identification {
        let answer = self.identify(tag)
        guard case .pending(let uid) = answer,
            await self.directory.waitForRecord(of: uid, atMost: limit) != nil
        else { return answer }
        // Much can have happened meanwhile, so the whole question is asked again.
        return self.identify(tag)
    }

    private func identify(_ cgroup: AttributedCgroup) -> Identification {
        switch self.directory.standing(of: cgroup.uid) {
        case .unknown:
            .pending(cgroup.uid)
        case .terminated:
            .refused(.podGone)
        case .known(let pod) where pod.policy == .deny:
            .refused(.denied(namespace: pod.namespace, name: pod.name))
        case .known(let pod) where pod.isTooLarge:
            .refused(.podTooLarge(namespace: pod.namespace, name: pod.name))
        case .known(let pod) where pod.policy == .passthrough && !pod.phase.isTerminal:
            .refused(.passedThrough(namespace: pod.namespace, name: pod.name))
        case .known(let pod) where pod.isMirror:
            .refused(.staticPod(namespace: pod.namespace, name: pod.name))
        case .known(let pod) where pod.phase.isTerminal:
            .refused(.podFinished(namespace: pod.namespace, name: pod.name, phase: pod.phase))
        case .known(let pod):
            .caller(Caller(pod: pod, containerID: cgroup.containerID, cgroupID: cgroup.cgroupID))
        }
    }
}
