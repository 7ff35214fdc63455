import Foundation

/// The lab's node, seen from its boot.
package struct RebootingNode {
    package static let unitPath = "/etc/systemd/system/podidentd-boot-guard.service"

    package let world: LabWorld
    /// The folder that stands for the node's root file system.
    package var root: String { world.node.directory + "/root" }
    /// The cgroup that stands for this node's `system.slice`.
    private var hostCgroup: String { "\(world.node.identifier)/system.slice" }

    package init(_ world: LabWorld) { self.world = world }

    /// Installs the boot guard's unit and rules below ``root``.
    package func installGuard() async throws {
        try FileManager.default.createDirectory(
            atPath: root + "/etc/systemd/system", withIntermediateDirectories: true)
        try world.writeAgentConfiguration()
        try await Command.require([
            world.binaries + "/podidentd", "guard", "install", "--config", world.agentConfigurationPath, "--host-root",
            root, "--host-cgroup", hostCgroup,
        ])
    }

    /// Removes everything of the agent's, as a reboot does.
    package func reboot(_ pods: [RunningPod]) async throws {
        // Detached first: a mount namespace that some process of the machine made meanwhile keeps the file system's pins alive.
        try await Command.require(world.uninstallCommand)
        try await Command.require(["umount", world.node.bpfFileSystem])
        try await Command.require(["mount", "-t", "bpf", "bpf", world.node.bpfFileSystem])
        try await inNetwork("nft flush ruleset")
        try FileManager.default.createDirectory(
            atPath: world.node.cgroupDirectory("/" + hostCgroup), withIntermediateDirectories: true)
        // Nothing protects the node now.
        for pod in pods.prefix(2) {
            let answer = try await pod.run("curl", "-s", "--max-time", "5", "http://169.254.169.254/")
            guard answer.succeeded else { throw LabError("hooks are left after the reboot: \(answer.status)") }
        }
    }

    /// Does what systemd does with the unit: each ExecStart, with the files where they are, until one fails.
    package func loadUnit() async throws {
        let unit = try String(contentsOfFile: root + Self.unitPath, encoding: .utf8)
        for line in unit.split(separator: "\n") where line.hasPrefix("ExecStart=") {
            let command = line.dropFirst("ExecStart=".count)
            let mayFail = command.hasPrefix("-")
            let text = (mayFail ? command.dropFirst() : command).replacing(" /etc/", with: " \(root)/etc/")
            try await inNetwork(String(text))
        }
    }

    /// Runs a shell command in the node's network namespace, with cgroup v2 where systemd mounts it.
    @discardableResult
    private func inNetwork(_ text: String) async throws -> String {
        let script = """
            [ \(world.node.cgroupMountPoint) = /sys/fs/cgroup ] || mount --bind \(world.node.cgroupMountPoint) /sys/fs/cgroup
            \(text)
            """
        return try await Command.require([
            "nsenter", "--net=\(world.node.network.path)", "--", "unshare", "--mount", "--propagation", "private", "--",
            "sh", "-ec", script,
        ])
    }

    /// The rules that are loaded in the node's network namespace.
    package func rules() async throws -> String { try await inNetwork("nft list ruleset") }

    /// Waits until so many packets of pods were dropped.
    package func waitForDrops(atLeast count: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let dropped = try await rules().matches(of: /counter packets (\d+)/).compactMap { Int($0.output.1) }
            if dropped.reduce(0, +) >= count { return }
            guard ContinuousClock.now < deadline else { throw LabError("only \(dropped) packets were dropped") }
        }
    }

    /// A service of the host asks the machine's own metadata server, from the node's own address: the metadata address is
    /// the node's, too, in the lab, and answers to it would be guarded.
    package func hostService() async throws -> String {
        let procs = world.node.cgroupDirectory("/" + hostCgroup) + "/cgroup.procs"
        return try await Command.require([
            "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", procs, "nsenter", "--net=\(world.node.network.path)", "--",
            "curl", "-s", "--interface", LabNode.address, "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}",
            "http://169.254.169.254/",
        ])
    }

    /// Asks for a token as a client with patience does: again and again, a second each.
    package func ask(_ pod: RunningPod) throws -> Command {
        let script = """
            for attempt in $(seq 60); do
                curl -s --fail --max-time 1 -H 'Metadata-Flavor: Google' \
            http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token && exit 0
            done
            """
        return try pod.start(["sh", "-c", script])
    }
}
