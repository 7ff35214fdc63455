package import Attribution
package import BPF
package import Settings

/// Finds the kubelet's kubepods cgroup.
package enum KubepodsSearch {
    /// The configured root; or the one in which the agent's own pod lies; or the one default that exists.
    ///
    /// The own pod, if it is known, has the last word: it was the kubelet that put it where it is.
    package static func find(
        _ configuration: AgentConfiguration, in cgroups: CgroupFileSystem
    ) throws -> (KubepodsRoot, KubepodsCgroup) {
        let root = try root(configuration, in: cgroups)
        return (root, try cgroup(of: root, in: cgroups))
    }

    /// The root alone, which may be that of no cgroup if it is configured. Needs no rights to run BPF programs.
    package static func root(_ configuration: AgentConfiguration, in cgroups: CgroupFileSystem) throws -> KubepodsRoot {
        let configured = try configuration.kubepods.map { try parse($0) }
        guard let uid = configuration.podUID else { return try configured ?? theDefault(in: cgroups) }
        return try OwnPod(uid: uid, cgroup: cgroups.ownPath()).root(confirming: configured)
    }

    /// The configured root, or the one default that exists, without the agent's own pod.
    package static func root(configured path: String?, in cgroups: CgroupFileSystem) throws -> KubepodsRoot {
        let root = try path.map { try parse($0) } ?? theDefault(in: cgroups)
        guard cgroups.id(of: root.path) != nil else { throw missing(root, in: cgroups) }
        return root
    }

    private static func parse(_ path: String) throws -> KubepodsRoot {
        do {
            return try KubepodsRoot(path)
        } catch {
            throw ConfigurationError("cgroup.kubepods: \(error)")
        }
    }

    private static func theDefault(in cgroups: CgroupFileSystem) throws -> KubepodsRoot {
        try theDefault(
            among: KubepodsRoot.defaults.filter { cgroups.id(of: $0.path) != nil }, below: cgroups.mountPoint)
    }

    /// The one of the defaults that were found.
    static func theDefault(
        among found: [KubepodsRoot], below mountPoint: String
    ) throws(ConfigurationError) -> KubepodsRoot {
        guard let root = found.first else {
            throw ConfigurationError(
                """
                no kubepods cgroup below \(mountPoint) (looked for \
                \(KubepodsRoot.defaults.map(\.description).joined(separator: ", "))); set cgroup.kubepods
                """
            )
        }
        guard found.count == 1 else {
            throw ConfigurationError(
                """
                more than one kubepods cgroup below \(mountPoint): \
                \(found.map(\.description).joined(separator: ", ")); set cgroup.kubepods to this kubelet's, or pod-uid
                """
            )
        }
        return root
    }

    /// The kubepods cgroup below `root`, with the kernel's level, and the trees beside it.
    package static func cgroup(of root: KubepodsRoot, in cgroups: CgroupFileSystem) throws -> KubepodsCgroup {
        guard let found = try cgroups.locate(root.path) else { throw missing(root, in: cgroups) }
        let others = try OtherKubepods.all(beside: root, in: cgroups)
        return KubepodsCgroup(
            id: found.id, level: found.level, qosClasses: qosClasses(of: root, in: cgroups), others: others.map(\.tree))
    }

    private static func missing(_ root: KubepodsRoot, in cgroups: CgroupFileSystem) -> ConfigurationError {
        ConfigurationError(
            "cgroup.kubepods: there is no cgroup \(root) below \(cgroups.mountPoint); is this a Kubernetes node?")
    }

    /// Every place where kubelets put it by default, and whether something is there.
    package static func candidates(in cgroups: CgroupFileSystem) -> [(root: KubepodsRoot, exists: Bool)] {
        KubepodsRoot.defaults.map { ($0, cgroups.id(of: $0.path) != nil) }
    }

    /// The QoS classes and the like that there are by now, in the order of ``KubepodsCgroup/qosClasses``.
    static func qosClasses(of root: KubepodsRoot, in cgroups: CgroupFileSystem) -> [CgroupID?] {
        root.qosClassPaths.map { cgroups.id(of: $0) }
    }
}

/// The pod that the agent runs in, as far as it knows: its UID from the downward API, its cgroup from the kernel.
struct OwnPod: Sendable {
    let uid: PodUID
    /// The path from the root of the hierarchy; `nil`: not found.
    let cgroup: [UInt8]?

    /// The kubepods cgroup that this pod lies in.
    ///
    /// Throws what the two say, where they do not agree.
    func root(confirming configured: KubepodsRoot?) throws(ConfigurationError) -> KubepodsRoot {
        guard let cgroup else {
            throw ConfigurationError(
                """
                pod-uid: the cgroup of the agent's own process is nowhere in cgroup.mount-point; \
                mount the host's whole hierarchy there
                """
            )
        }
        let place = String(decoding: cgroup, as: UTF8.self)
        if let configured {
            guard configured.parse(cgroup)?.uid == uid else {
                throw ConfigurationError(
                    """
                    cgroup.kubepods is \(configured), but the agent's own pod \(uid) (pod-uid) runs in cgroup \(place)\
                    \(KubepodsRoot.calibrated(by: cgroup, of: uid).map { ", which is below \($0)" } ?? "")
                    """
                )
            }
            return configured
        }
        guard let root = KubepodsRoot.calibrated(by: cgroup, of: uid) else {
            throw ConfigurationError(
                """
                pod-uid is \(uid), but the agent runs in cgroup \(place), which does not tell one kubepods cgroup for \
                that pod; set pod-uid to metadata.uid of the agent's pod, or set cgroup.kubepods
                """
            )
        }
        return root
    }
}
