import Attribution
import BPF
import Enforcement
package import Operations

/// A view of this node without an agent: from pinned maps and from the cgroup file system.
///
/// Pods are known by the UIDs in their cgroups' names alone, which no pod list confirms.
package struct KernelView: Sendable {
    private let pins: PinnedState
    private let root: KubepodsRoot
    private let cgroups: [CgroupIndexEntry]

    /// Reads everything once.
    ///
    /// - Parameters:
    ///   - pinDirectory: `bpf.pin-directory` of the agent.
    ///   - cgroupMountPoint: `cgroup.mount-point`; `nil`: the first cgroup2 mount.
    ///   - kubepods: `cgroup.kubepods`; `nil`: the one that an agent has told the programs, else the default.
    /// - Throws: What is missing, in one sentence.
    package init(pinDirectory: String, cgroupMountPoint: String?, kubepods: String?) throws {
        let files = try CgroupFiles.open(mountPoint: cgroupMountPoint)
        let pins = try PinnedState(reading: PinDirectory(path: pinDirectory))
        let known =
            kubepods == nil ? pins.kubepods.flatMap(files.path(of:)).flatMap { try? KubepodsRoot(path: $0) } : nil
        self.pins = pins
        holder = PinLock(existing: PinDirectory(path: pinDirectory))?.holder
        root = try known ?? KubepodsSearch.root(configured: kubepods, in: files)
        cgroups = CgroupTracking.read(files, below: root)
    }

    /// Whether a hook is attached that redirects pods to an agent.
    package var isInstalled: Bool { !pins.hooks.isEmpty }

    /// The PID of the agent that holds the pins, if one runs where this process can see it.
    package let holder: Int32?

    /// The map, without names.
    package func cgroupDump(node: String) -> CgroupDump {
        CgroupDump(node: node, kubepods: root.description, source: .kernel, entries: cgroups) { _ in nil }
    }

    /// The kernel's count of each pod's connections.
    package func connectionDump(node: String) -> ConnectionDump {
        let pods = cgroups.filter { $0.kind == .pod }.map { entry in
            ConnectionDump.Pod(
                namespace: nil, pod: nil, uid: entry.uid.description, open: nil, listeners: nil,
                pins.connections[entry.id] ?? PodTraffic())
        }
        return ConnectionDump(node: node, source: .kernel, pods: pods, connections: [])
    }

    /// The programs' policy for the connections of this pod-level cgroup.
    func policy(of cgroup: CgroupID) -> PodPolicy { pins.policies[cgroup] ?? .attribute }
}
