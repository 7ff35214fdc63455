/// How a kubelet names its cgroups (see the kubelet's `--cgroup-driver`).
package enum CgroupLayout: String, Sendable, CaseIterable {
    case cgroupfs
    case systemd

    package enum QualityOfService: String, Sendable {
        case guaranteed
        case burstable
        case besteffort
    }

    /// The kubepods cgroup, below the node's.
    var kubepods: String {
        switch self {
        case .cgroupfs: "/kubepods"
        case .systemd: "/kubepods.slice"
        }
    }

    /// The pod-level cgroup, below the kubepods cgroup.
    func pod(uid: String, quality: QualityOfService) -> String {
        switch (self, quality) {
        case (.cgroupfs, .guaranteed):
            return "/pod\(uid)"
        case (.cgroupfs, _):
            return "/\(quality.rawValue)/pod\(uid)"
        case (.systemd, .guaranteed):
            return "/kubepods-pod\(uid.replacing("-", with: "_")).slice"
        case (.systemd, _):
            let slice = "kubepods-\(quality.rawValue)"
            return "/\(slice).slice/\(slice)-pod\(uid.replacing("-", with: "_")).slice"
        }
    }

    /// The container's cgroup, below the pod's.
    func container(id: String) -> String {
        switch self {
        case .cgroupfs: "/\(id)"
        case .systemd: "/cri-containerd-\(id).scope"
        }
    }
}
