import Foundation

/// The shape of a pod of the lab.
package struct RunningPodSpecification: Sendable {
    package var name: String
    package var namespace: String
    package var uid: String
    package var quality: CgroupLayout.QualityOfService
    /// Shares the node's network namespace.
    package var isHostNetwork: Bool

    package init(
        name: String,
        namespace: String = "default",
        uid: String = UUID().uuidString.lowercased(),
        quality: CgroupLayout.QualityOfService = .besteffort,
        isHostNetwork: Bool = false
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.quality = quality
        self.isHostNetwork = isHostNetwork
    }
}

/// A pod of real cgroups, a real network namespace and real processes.
package final class RunningPod: Sendable {
    package let specification: RunningPodSpecification
    package let network: NetworkNamespace
    /// The pod's address; the node's for a hostNetwork pod.
    package let address: String
    /// The pod-level cgroup, as the node sees it.
    package let cgroup: String
    package let containerID: String
    private let node: LabNode

    package var name: String { specification.name }
    package var uid: String { specification.uid }
    /// The container's cgroup, as the node sees it.
    package var containerCgroup: String { cgroup + node.layout.container(id: containerID) }

    init(_ specification: RunningPodSpecification, number: Int, node: LabNode) async throws {
        self.specification = specification
        self.node = node
        cgroup = node.kubepods + node.layout.pod(uid: specification.uid, quality: specification.quality)
        containerID = (0..<32).map { _ in String(format: "%02x", UInt8.random(in: 0...255)) }.joined()
        if specification.isHostNetwork {
            network = node.network
            address = LabNode.address
        } else {
            network = NetworkNamespace(name: "\(node.identifier)-p\(number)")
            address = "10.88.\(number / 250).\(number % 250 + 2)"
        }
        do {
            try await setUp(number: number)
        } catch {
            await tearDown()
            throw error
        }
    }

    private func setUp(number: Int) async throws {
        try FileManager.default.createDirectory(
            atPath: node.cgroupDirectory(containerCgroup), withIntermediateDirectories: true
        )
        guard !specification.isHostNetwork else { return }
        let peer = "veth\(number)"
        try await Command.require(
            ["ip", "-batch", "-"],
            input: """
                netns add \(network.name)
                link add \(peer) netns \(node.network.name) type veth peer name eth0 netns \(network.name)
                """
        )
        try await node.network.ip("link set \(peer) master br0 up")
        // IPv6 has its route to the neighbours only when the kernel has noticed the carrier, up to a second later where many
        // links come up: hence "onlink".
        try await network.ip(
            """
            link set lo up
            addr add \(address)/16 dev eth0
            addr add fd88::\(String(number, radix: 16)):1/64 dev eth0 nodad
            link set eth0 up
            route add default via \(LabNode.address)
            route add ::/0 via \(LabNode.address6) dev eth0 onlink
            """
        )
        try await startPause()
    }

    /// Starts the process that holds the pod's network namespace, as container runtimes do: with it the pod begins, long
    /// before its first container.
    private func startPause() async throws {
        let script = "sleep infinity < /dev/null > /dev/null 2>&1 &"
        try await Command.require(commandLine(["sh", "-c", script]))
    }

    /// The command line that runs `arguments` inside the pod: in its container's cgroup from the first instruction, and
    /// in its network namespace.
    ///
    /// With `files` it sees, in a mount namespace of its own, other files at some paths: the place of each by its path.
    package func commandLine(
        _ arguments: [String], cgroup: String? = nil, files: [String: String] = [:]
    ) -> [String] {
        node.enter(network, cgroup: cgroup ?? containerCgroup) + Self.mounting(files, arguments)
    }

    private static func mounting(_ files: [String: String], _ arguments: [String]) -> [String] {
        guard !files.isEmpty else { return arguments }
        let script = """
            count=$1; shift
            while [ "$count" -gt 0 ]; do mount --bind "$2" "$1"; shift 2; count=$((count - 1)); done
            exec "$@"
            """
        return ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", script, "sh", "\(files.count)"]
            + files.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] } + arguments
    }

    /// Starts a command inside the pod.
    package func start(_ arguments: [String], cgroup: String? = nil) throws -> Command {
        try Command(commandLine(arguments, cgroup: cgroup))
    }

    /// Runs a command inside the pod to its end.
    package func run(_ arguments: String..., cgroup: String? = nil) async throws -> CommandResult {
        try await Command.run(commandLine(arguments, cgroup: cgroup))
    }

    /// Kills the pod's processes and removes its cgroups, as the kubelet does when a pod is deleted.
    package func removeCgroup() async {
        await CgroupTree.remove(node.cgroupDirectory(cgroup))
    }

    func tearDown() async {
        await removeCgroup()
        if !specification.isHostNetwork {
            _ = try? await Command.run(["ip", "netns", "delete", network.name])
        }
    }
}
