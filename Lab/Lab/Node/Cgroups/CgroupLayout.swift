import Foundation

/// How a kubelet names its cgroups (its `--cgroup-driver`), and where its node's lie.
package struct CgroupLayout: Sendable, Hashable, CaseIterable, CustomStringConvertible {
    package enum Driver: String, Sendable {
        case cgroupfs
        case systemd
    }

    package enum QualityOfService: String, Sendable {
        case guaranteed
        case burstable
        case besteffort
    }

    package let driver: Driver
    /// How many levels below the machine's root the node's cgroup namespace begins; 0: it has none of its own.
    ///
    /// kind and k3d make such nodes: what runs in one sees its namespace's root as `/`, and cgroups as if they were that
    /// many levels higher than the kernel counts.
    package let depth: Int

    package static let cgroupfs = CgroupLayout(driver: .cgroupfs, depth: 0)
    package static let systemd = CgroupLayout(driver: .systemd, depth: 0)
    package static let nested = CgroupLayout(driver: .cgroupfs, depth: 1)
    package static let nestedSystemd = CgroupLayout(driver: .systemd, depth: 1)
    package static let nestedThrice = CgroupLayout(driver: .cgroupfs, depth: 3)
    package static let nestedThriceSystemd = CgroupLayout(driver: .systemd, depth: 3)

    package static let allCases = [
        cgroupfs, systemd, nested, nestedSystemd, nestedThrice, nestedThriceSystemd,
    ]

    /// The layout of labs that ask for no other: the one that `PODIDENTD_LAB_LAYOUT` names, else ``cgroupfs``.
    package static let standard = LabEnvironment.choice("PODIDENTD_LAB_LAYOUT", of: allCases, usual: cgroupfs)

    /// `cgroupfs`, `systemd`, `nested`, `nested-systemd`, `nested-3` or `nested-3-systemd`.
    package var description: String {
        guard depth > 0 else { return driver.rawValue }
        return "nested" + (depth > 1 ? "-\(depth)" : "") + (driver == .systemd ? "-systemd" : "")
    }

    /// The cgroup that the node's namespace begins at, below the lab's own: kind's lie below docker's.
    var root: String {
        ["", "/docker", "/docker/node"][max(0, depth - 1)]
    }

    /// The kubepods cgroup, below the node's root: with a parent of its own in a namespace, as kind has it.
    var kubepods: String {
        switch driver {
        case .cgroupfs: depth > 0 ? "/kubelet/kubepods" : "/kubepods"
        case .systemd: depth > 0 ? "/kubelet.slice/kubelet-kubepods.slice" : "/kubepods.slice"
        }
    }

    /// The pod-level cgroup, below the kubepods cgroup.
    func pod(uid: String, quality: QualityOfService) -> String {
        let kubepods = depth > 0 ? "kubelet-kubepods" : "kubepods"
        switch (driver, quality) {
        case (.cgroupfs, .guaranteed):
            return "/pod\(uid)"
        case (.cgroupfs, _):
            return "/\(quality.rawValue)/pod\(uid)"
        case (.systemd, .guaranteed):
            return "/\(kubepods)-pod\(uid.replacing("-", with: "_")).slice"
        case (.systemd, _):
            let slice = "\(kubepods)-\(quality.rawValue)"
            return "/\(slice).slice/\(slice)-pod\(uid.replacing("-", with: "_")).slice"
        }
    }

    /// The container's cgroup, below the pod's.
    package func container(id: String) -> String {
        switch driver {
        case .cgroupfs: "/\(id)"
        case .systemd: "/cri-containerd-\(id).scope"
        }
    }
}
