/// The pod-level cgroup that a caller was in.
package struct AttributedCgroup: Sendable, Hashable {
    /// The pod-level cgroup.
    package var cgroupID: CgroupID
    /// The UID in the cgroup's name; the pod list has to confirm it.
    package var uid: PodUID
    /// A label: the first level below the pod, where the runtime named it after a container.
    package var containerID: String?

    package init(cgroupID: CgroupID, uid: PodUID, containerID: String? = nil) {
        self.cgroupID = cgroupID
        self.uid = uid
        self.containerID = containerID
    }
}

/// The cgroup index's answer about a caller's tag.
package enum CgroupFinding: Sendable, Hashable {
    case found(AttributedCgroup)
    /// A cgroup within reach of the pod level no longer exists. Where it was a pod's, the connection outlived the pod.
    case gone
    /// Every cgroup within reach of the pod level exists, and none is a pod's.
    case notInPod
}

/// Tells where a cgroup is by its ID.
///
/// The real one opens the cgroup's directory by handle (`open_by_handle_at`, where the handle is the ID) and asks for
/// its path: a fixed number of system calls, however many cgroups there are.
package protocol CgroupPathResolving: Sendable {
    /// The absolute path in the cgroup v2 hierarchy, or `nil` when the cgroup is gone.
    func path(of id: CgroupID) -> [UInt8]?
}
