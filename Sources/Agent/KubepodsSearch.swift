import Attribution
import BPF

/// Finds the kubelet's kubepods cgroup.
enum KubepodsSearch {
    /// The configured root, or the one default that exists.
    static func find(configured: String?, in cgroups: CgroupFileSystem) throws -> (KubepodsRoot, KubepodsCgroup) {
        if let configured {
            let root: KubepodsRoot
            do {
                root = try KubepodsRoot(configured)
            } catch {
                throw ConfigurationError("cgroup.kubepods: \(error)")
            }
            guard let id = cgroups.id(of: root.path) else {
                throw ConfigurationError(
                    "cgroup.kubepods: there is no cgroup \(configured) below \(cgroups.mountPoint); is this a Kubernetes node?"
                )
            }
            return (root, cgroup(id, of: root, in: cgroups))
        }
        let found = KubepodsRoot.defaults.compactMap { root in cgroups.id(of: root.path).map { (root, $0) } }
        guard let (root, id) = found.first else {
            throw ConfigurationError(
                """
                no kubepods cgroup below \(cgroups.mountPoint) (looked for \
                \(KubepodsRoot.defaults.map(\.description).joined(separator: ", "))); set cgroup.kubepods
                """
            )
        }
        guard found.count == 1 else {
            throw ConfigurationError(
                """
                more than one kubepods cgroup below \(cgroups.mountPoint): \
                \(found.map(\.0.description).joined(separator: ", ")); set cgroup.kubepods to this kubelet's
                """
            )
        }
        return (root, cgroup(id, of: root, in: cgroups))
    }

    /// What the programs need to know of the kubepods cgroup: as much of it as there is by now.
    static func cgroup(_ id: CgroupID, of root: KubepodsRoot, in cgroups: CgroupFileSystem) -> KubepodsCgroup {
        KubepodsCgroup(id: id, level: root.level, groups: root.groupPaths.compactMap { cgroups.id(of: $0) })
    }
}
