import Foundation
import Synchronization

/// One Kubernetes node on this machine: a network namespace with a bridge, a kubepods cgroup in the real cgroup v2
/// hierarchy, and a BPF file system. Pods hang off it.
///
/// Everything it makes carries its identifier, and ``tearDown()`` removes all of it.
package final class LabNode: Sendable {
    /// Begins every name that the lab gives: what a sweep looks for.
    package static let prefix = "nidlab"

    package let identifier: String
    package let network: NetworkNamespace
    /// Mount point of the cgroup v2 hierarchy.
    package let cgroupMountPoint: String
    /// The kubepods cgroup as the node sees it: from the root of its cgroup namespace, if it has one.
    package let kubepods: String
    /// Files of this node: kubeconfig, certificates, sockets.
    package let directory: String
    package let layout: CgroupLayout

    package static let address = "10.88.0.1"
    package static let address6 = "fd88::1"
    package static let hardwareAddress = "02:88:00:00:00:01"
    package static let metadataAddress = "169.254.169.254"
    package static let metadataAddress6 = "fd20:ce::254"
    /// The user that owns kubepods cgroups of labs. No process of a lab runs as it.
    private static let owner: uid_t = 64_242

    private struct State {
        var pods: [RunningPod] = []
        var nextPod = 2
        /// The node's cgroup namespace, if the layout is nested.
        var cgroupNamespace: CgroupNamespace?
    }

    private let state = Mutex(State())

    package var bpfFileSystem: String { directory + "/bpf" }
    package var pods: [RunningPod] { state.withLock { $0.pods } }
    /// The directory of a cgroup given by its path as the node sees it. The same inside the node and outside.
    package func cgroupDirectory(_ path: String) -> String {
        (layout.depth > 0 ? cgroupBind : cgroupMountPoint) + path
    }
    /// The directory at which the root of a nested node is bound.
    private var cgroupBind: String { directory + "/cgroup" }
    /// The directory of the cgroup that holds everything of this lab.
    package var ownCgroups: String { "\(cgroupMountPoint)/\(identifier)" }
    /// The path at which this process sees the hierarchy as the node does.
    package var cgroupMountPointInside: String {
        state.withLock { $0.cgroupNamespace?.path(cgroupMountPoint) } ?? cgroupMountPoint
    }
    /// The command that runs another as a process of the node that is no pod's: in the node's namespaces and, if it has
    /// a hierarchy of its own, in that.
    package var processCommand: [String] {
        layout.depth > 0 ? enter(network, cgroup: "/init.scope") : enter(network)
    }

    /// The command that runs another in a network namespace and the node's other namespaces.
    func enter(_ network: NetworkNamespace) -> [String] {
        ["nsenter", "--net=\(network.path)"] + (state.withLock { $0.cgroupNamespace?.entries } ?? []) + ["--"]
    }

    /// The command that runs another in the node's namespaces and the cgroup at `path`.
    package func command(inCgroup path: String) -> [String] { enter(network, cgroup: path) }

    /// The command that runs another in a network namespace and the node's other namespaces, in a cgroup of its.
    ///
    /// The cgroup comes last, as with container runtimes: no process of a pod is executed in a foreign network
    /// namespace.
    func enter(_ network: NetworkNamespace, cgroup: String) -> [String] {
        enter(network)
            + ["sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", cgroupDirectory(cgroup) + "/cgroup.procs"]
    }

    /// The command that runs another as the agent: in the node's namespaces, and in a cgroup of its own.
    var agentCommand: [String] { enter(network, cgroup: agentCgroup) }
    private var agentCgroup: String { (layout.depth > 0 ? "" : "/\(identifier)") + "/agent" }

    /// Makes the node. Needs root.
    package init(layout: CgroupLayout = .standard) async throws {
        // A value of the environment that cannot be ends the process here, before anything is made.
        _ = (LabKernel.patience, AgentProcess.port)
        try Self.requireRoot()
        guard let mountPoint = try Self.findCgroupMountPoint() else {
            throw LabError("there is no cgroup v2 hierarchy mounted on this machine")
        }
        // The owner's process ID lets a later sweep tell what is still in use.
        identifier = "\(Self.prefix)-\(getpid())-\(UInt16.random(in: 0...UInt16.max))"
        network = NetworkNamespace(name: "\(identifier)-node")
        cgroupMountPoint = mountPoint
        self.layout = layout
        kubepods = (layout.depth > 0 ? "" : "/\(identifier)") + layout.kubepods
        directory = "/run/\(identifier)"
        do {
            try await setUp()
        } catch {
            await tearDown()
            throw error
        }
    }

    private func setUp() async throws {
        try FileManager.default.createDirectory(
            atPath: bpfFileSystem, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700]
        )
        try await Command.require(["mount", "-t", "bpf", "bpf", bpfFileSystem])
        try await makeKubepods()
        try await Command.require(["ip", "netns", "add", network.name])
        if layout.depth > 0 { try await enterCgroupNamespace() }
        try FileManager.default.createDirectory(
            atPath: cgroupDirectory(agentCgroup), withIntermediateDirectories: true)
        // The metadata addresses are the node's own here, so that whatever slips past the redirect is caught. The
        // bridge has an address of its own choice. It would otherwise take the lowest of its ports', and lose pods that
        // asked for it whenever a new pod's is lower.
        try await network.ip(
            """
            link set lo up
            link add br0 address \(Self.hardwareAddress) type bridge
            link set br0 up
            addr add \(Self.address)/16 dev br0
            addr add \(Self.address6)/64 dev br0 nodad
            addr add \(Self.metadataAddress)/32 dev lo
            addr add \(Self.metadataAddress6)/128 dev lo nodad
            """
        )
    }

    /// Makes the kubepods cgroup, as the kubelet does.
    ///
    /// A user of its own makes it, and not root: agents of other labs that run at the same time on this machine
    /// would take it for a second kubelet's, and refuse its pods.
    package func makeKubepods() async throws {
        let directory = (layout.depth > 0 ? ownCgroups + layout.root : cgroupMountPoint) + kubepods
        let parent = (directory as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        guard unsafe chown(parent, Self.owner, 0) == 0 else { throw LabError("cannot give \(parent) away") }
        try await Command.require(["setpriv", "--reuid=\(Self.owner)", "--clear-groups", "mkdir", directory])
        guard unsafe chown(parent, 0, 0) == 0 else { throw LabError("cannot take \(parent) back") }
    }

    /// Enters the cgroup namespace; to be called after the first network namespace. Only then are those that are added
    /// later seen in copies of this mount namespace.
    private func enterCgroupNamespace() async throws {
        let root = ownCgroups + layout.root
        try FileManager.default.createDirectory(atPath: cgroupBind, withIntermediateDirectories: true)
        try await Command.require(["mount", "--bind", root, cgroupBind])
        let namespace = try await CgroupNamespace(root: root, mountPoint: cgroupMountPoint)
        state.withLock { $0.cgroupNamespace = namespace }
    }

    /// Makes a pod: cgroups, a network namespace unless it shares the node's, and a first process.
    package func addPod(_ specification: RunningPodSpecification) async throws -> RunningPod {
        let number = state.withLock { state in
            defer { state.nextPod += 1 }
            return state.nextPod
        }
        let pod = try await RunningPod(specification, number: number, node: self)
        state.withLock { $0.pods.append(pod) }
        return pod
    }

    /// Removes a pod as the kubelet would: processes, then cgroups, then its network.
    package func remove(_ pod: RunningPod) async {
        state.withLock { $0.pods.removeAll { $0 === pod } }
        await pod.tearDown()
    }

    /// Removes everything the node made. Safe to call more than once.
    package func tearDown() async {
        for pod in pods { await remove(pod) }
        await CgroupTree.remove(ownCgroups)
        await Self.removeNamespace(network.name)
        _ = try? await Command.run(["umount", "--quiet", bpfFileSystem])
        _ = try? await Command.run(["umount", "--quiet", "--lazy", cgroupBind])
        try? FileManager.default.removeItem(atPath: directory)
    }

    static func requireRoot() throws {
        guard geteuid() == 0 else { throw LabError("the lab makes namespaces and cgroups: run it as root") }
    }

    /// Removes a network namespace with the processes in it: agents and signers of a run that was interrupted are in no
    /// cgroup of the lab's.
    static func removeNamespace(_ name: String) async {
        let processes = try? await Command.run(["ip", "netns", "pids", name])
        for process in (processes?.output ?? "").split(separator: "\n").compactMap({ Int32($0) })
        where process != getpid() {
            kill(process, SIGKILL)
        }
        _ = try? await Command.run(["ip", "netns", "delete", name])
    }

    /// Removes the host guard's nftables table, if it is there: what the removal of its links' pins is elsewhere.
    package func removeHostGuardTable() async throws {
        try await Command.require(
            ["nsenter", "--net=\(network.path)", "--", "nft", "-f", "-"],
            input: "add table inet podidentd; delete table inet podidentd\n")
    }

    static func findCgroupMountPoint() throws -> String? {
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count > 2, fields[2] == "cgroup2" { return String(fields[1]) }
        }
        return nil
    }
}
