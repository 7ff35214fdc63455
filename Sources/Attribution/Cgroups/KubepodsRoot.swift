/// The kubelet's `kubepods` cgroup: the only place where a cgroup's name says anything about a pod.
///
/// The last component of its path tells the kubelet's cgroup driver, and with it the names of everything down to the
/// pod level (kubelet `cgroup_manager_linux.go`).
package struct KubepodsRoot: Sendable, Hashable {
    /// The kubelet's `cgroupDriver`.
    package enum Driver: String, Sendable, Hashable {
        case cgroupfs
        case systemd
    }

    /// The longest accepted path, in bytes: `PATH_MAX` without its NUL.
    package static let maximumPathLength = 4095

    /// The paths where kubelets put kubepods unless told otherwise: either driver, on a machine and in a kind node.
    package static let defaults: [KubepodsRoot] = [
        "/kubepods", "/kubepods.slice", "/kubelet/kubepods", "/kubelet.slice/kubelet-kubepods.slice",
    ].compactMap { try? KubepodsRoot($0) }

    /// The absolute path from the root of the node's cgroup v2 mount, as bytes. Its length says nothing of the kernel's
    /// level: the node may live in a cgroup namespace of its own.
    package let path: [UInt8]
    package let driver: Driver
    /// The places below the root where the kubelet makes pod-level cgroups. No path lies in two of them.
    let podParents: [PodParent]

    /// Checks a path that was configured.
    package init(_ path: String) throws(AttributionError) {
        try self.init(path: Array(path.utf8))
    }

    /// Checks a path that was configured or found: absolute, written as the kernel writes it, and ending in the name
    /// that one of the drivers gives to `kubepods`.
    package init(path: [UInt8]) throws(AttributionError) {
        guard path.first == .slash else {
            throw .invalidKubepodsRoot(path: path, reason: .notAbsolute)
        }
        guard path.count <= Self.maximumPathLength else {
            throw .invalidKubepodsRoot(path: path, reason: .tooLong)
        }
        let components = path.dropFirst().split(separator: .slash, omittingEmptySubsequences: false)
        guard components.allSatisfy(Self.isCanonical) else {
            throw .invalidKubepodsRoot(path: path, reason: .notCanonical)
        }
        let name = path.suffix(components.last?.count ?? 0)
        if name.elementsEqual("kubepods".utf8) {
            self.driver = .cgroupfs
            self.podParents = PodParent.cgroupfs(below: path)
        } else if let slice = SystemdSlice(name: name), slice.segments.last?.elementsEqual("kubepods".utf8) == true {
            guard path.ends(with: slice.expandedPath) else {
                throw .invalidKubepodsRoot(path: path, reason: .outsideParentSlices(expected: slice.expandedPath))
            }
            self.driver = .systemd
            self.podParents = PodParent.systemd(below: path, slice: slice)
        } else {
            throw .invalidKubepodsRoot(path: path, reason: .notKubepods)
        }
        self.path = path
    }

    private static func isCanonical(_ component: ArraySlice<UInt8>) -> Bool {
        !component.isEmpty && !component.elementsEqual(".".utf8) && !component.elementsEqual("..".utf8)
            && !component.contains(0)
    }
}

extension KubepodsRoot: CustomStringConvertible {
    package var description: String { String(decoding: self.path, as: UTF8.self) }
}
