import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The agent as its DaemonSet's pod runs it on a hardened node: the image's content, the rendered manifest's capabilities,
/// seccomp profile and read-only mounts, in a pod of its own, whose UID it is told.
struct AgentContainer {
    let world: LabWorld
    /// The agent's own pod, in the API and on the node.
    let pod: RunningPod
    /// A pod that asks for tokens.
    let workload: RunningPod
    let agent: AgentProcess

    private let manifest: String
    /// The image's files.
    private let content: String

    static let hardened = "deploy/golden/kubeadm-hardened.yaml"
    private static let changes: [String: String?] = ["cgroup.mount-point": "/host/sys/fs/cgroup"]

    /// Starts it, and waits until it serves.
    static func start(
        in world: LabWorld, _ changes: [String: String?] = [:], manifest: String = hardened
    ) async throws -> AgentContainer {
        world.addServiceAccount("app")
        let workload = try await world.addPod("a", serviceAccount: "app")
        world.addServiceAccount("default", namespace: "podidentd")
        let pod = try await world.addPod("podidentd-x7k2p", namespace: "podidentd", isHostNetwork: true)
        let content = try await ImageContent.directory.value
        let agent = try world.launchAgent(
            Self.changes.merging(changes) { $1 },
            prefix: container(world, pod, manifest, content, ["--program", "/podidentd"]))
        try await agent.waitUntilReady(within: .seconds(60))
        return AgentContainer(
            world: world, pod: pod, workload: workload, agent: agent, manifest: manifest, content: content)
    }

    /// The words before a command that run it in a container of the pod, in the pod's cgroup, as the kubelet has it run.
    private static func container(
        _ world: LabWorld, _ pod: RunningPod, _ manifest: String, _ content: String, _ options: [String] = []
    ) -> [String] {
        let seccomp = manifest == hardened ? ["--seccomp", "deploy/components/hardened/seccomp.json"] : []
        return [
            "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"",
            world.node.cgroupDirectory(pod.containerCgroup) + "/cgroup.procs",
            "env", "PODIDENTD_POD_UID=\(pod.uid)", ".build/deploy/venv/bin/python", "deploy/tests/as-container",
            "--manifest", manifest, "--rootfs", content, "--bind", world.node.directory,
        ] + seccomp + options + ["--"]
    }

    /// Runs a command with everything that the agent's container has, found by the image's PATH: what
    /// `kubectl exec POD -- COMMAND` does.
    func exec(_ command: String...) async throws -> CommandResult {
        try await exec(command)
    }

    func exec(_ command: [String]) async throws -> CommandResult {
        try await Command.run(
            ["nsenter", "--net=\(world.node.network.path)", "--"]
                + Self.container(world, pod, manifest, content) + command)
    }

    /// The report of `kubectl exec POD -- podidentd check`.
    func check(_ arguments: String...) async throws -> CheckOutcome {
        let result = try await exec(
            ["podidentd", "check", "--config", agent.configurationPath, "--output", "json"] + arguments)
        return try CheckOutcome(result)
    }

    /// Asks until the agent is ready or not, for at most a minute, and returns what `podidentd ready` says at the end.
    @discardableResult
    func waitUntil(ready: Bool) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while true {
            let result = try await exec("podidentd", "ready", "--config", agent.configurationPath)
            if (result.status == 0) == ready { return result.output }
            guard ContinuousClock.now < deadline else {
                throw LabError("still \(ready ? "not " : "")ready: \(result.output)\(result.errorOutput)")
            }
        }
    }
}

/// The report of `podidentd check`, and how it ended.
struct CheckOutcome {
    var posture: Posture
    var status: Int32

    init(_ result: CommandResult) throws {
        guard let posture = try? JSONDecoder().decode(Posture.self, from: Data(result.output.utf8)) else {
            throw LabError("no report, status \(result.status): \(result.output)\(result.errorOutput)")
        }
        self.posture = posture
        status = result.status
        #expect(status == posture.verdict.exitStatus)
    }

    var items: [Posture.Item] { posture.sections.flatMap(\.items) }

    func item(_ id: String) throws -> Posture.Item {
        try #require(items.first { $0.id == id }, "no item \(id)")
    }

    /// The items that are not well, a line each: what a failed test shows.
    var complaints: String {
        items.filter { $0.state != .ok }
            .map { "\($0.id) \($0.state.rawValue): \($0.found) \($0.meaning)" }.joined(separator: "\n")
    }
}
