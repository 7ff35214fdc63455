/// The parts of a path of a cgroup in a pod.
package struct PodCgroupPath: Sendable, Hashable {
    /// The place of the cgroup, seen from its pod.
    package enum Level: String, Sendable, Hashable {
        /// The pod-level cgroup itself, which only the kubelet makes.
        case pod
        /// A cgroup directly below the pod-level one: a container, its sandbox, or a helper of the runtime.
        case container
        /// A deeper cgroup. The workload may have made it and chosen its name.
        case below
    }

    /// The UID in the pod level's name. It counts only once the pod list confirms it.
    package var uid: PodUID
    /// The ID in the name of the first level below the pod; `nil` where there is none, or its name is no container's.
    package var containerID: String?
    /// How many levels below the kubepods root the pod-level cgroup is: 1, 2 or 3.
    package var podDepth: Int
    package var level: Level
}

extension KubepodsRoot {
    /// Parses an absolute cgroup path, from the root to the leaf.
    ///
    /// The names down to the pod level must be exactly those that the kubelet makes. The first level below gives a
    /// label; what lies deeper is never looked at, whatever it is called. Any other path is `nil`: outside the root,
    /// above the pod level, not as the kernel writes paths, or of a removed cgroup (the kernel appends ` (deleted)`).
    ///
    /// Pods of each runtime, with the cgroup driver `systemd` and with `cgroupfs` (`UID` with `_` for `-` in slices):
    ///
    /// - containerd: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope`,
    ///   `/kubepods/burstable/podUID/ID`
    /// - CRI-O: `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID.slice/crio-ID.scope`,
    ///   `/kubepods/besteffort/podUID/crio-ID`
    /// - cri-dockerd: `/kubepods.slice/kubepods-podUID.slice/docker-ID.scope`, `/kubepods/podUID/ID`
    /// - kind: `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID.slice/cri-containerd-ID.scope`
    ///
    /// The work does not depend on the depth of the path.
    package func parse(_ path: [UInt8]) -> PodCgroupPath? {
        guard path.starts(with: self.path), path.last != .slash else { return nil }
        for parent in self.podParents where path.starts(with: parent.directory) {
            let rest = path.dropFirst(parent.directory.count)
            let podName = rest.prefix { $0 != .slash }
            guard let uid = parent.podUID(inName: podName) else { continue }
            guard podName.endIndex < path.endIndex else {
                return PodCgroupPath(uid: uid, containerID: nil, podDepth: parent.podDepth, level: .pod)
            }
            let containerName = path[(podName.endIndex + 1)...].prefix { $0 != .slash }
            guard !containerName.isEmpty else { return nil }
            return PodCgroupPath(
                uid: uid,
                containerID: Self.containerID(inName: containerName),
                podDepth: parent.podDepth,
                level: containerName.endIndex == path.endIndex ? .container : .below
            )
        }
        return nil
    }

    /// The container ID in the name of a cgroup directly below a pod's: 64 hexadecimal digits, alone or as the
    /// runtimes decorate them. `crio-conmon-…`, `kata_…` and other helpers' names carry no label.
    private static func containerID(inName name: ArraySlice<UInt8>) -> String? {
        var id = name
        for prefix in ["cri-containerd-", "crio-", "cri-o-", "docker-"] where name.starts(with: prefix.utf8) {
            id = id.dropFirst(prefix.utf8.count)
            if id.ends(with: ".scope".utf8) { id = id.dropLast(".scope".utf8.count) }
            break
        }
        guard id.count == 64, id.allSatisfy({ $0.lowercaseHexadecimalValue != nil }) else { return nil }
        return String(decoding: id, as: UTF8.self)
    }
}
