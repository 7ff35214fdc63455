import Foundation
import Synchronization

/// A node, the cluster and cloud around it, and the agent: the whole of what the demo and the end-to-end tests need.
package final class LabWorld: Sendable {
    package let node: LabNode
    package let cluster: LabCluster
    /// The executables under test lie beside the running one.
    package let binaries: String
    private let agents = Mutex<[AgentProcess]>([])

    package static let nodeName = "node-a"
    package static let project = "lab-project"
    package static let projectNumber = "1234567890"

    private init(node: LabNode, cluster: LabCluster, binaries: String) {
        self.node = node
        self.cluster = cluster
        self.binaries = binaries
    }

    /// Makes the node, and starts every emulator and the trap inside its network namespace.
    private static func start(
        keys: LabCluster.Keys, layout: CgroupLayout = .standard,
        configure: (inout LabCluster.Configuration) -> Void = { _ in }
    ) async throws -> LabWorld {
        let node = try await LabNode(layout: layout)
        do {
            var configuration = LabCluster.Configuration(directory: node.directory + "/kubelet", nodeName: nodeName)
            let network = node.network
            configuration.host = LabNode.address
            configuration.providerName =
                "//iam.googleapis.com/projects/\(projectNumber)/locations/global/workloadIdentityPools/lab-pool"
                + "/providers/lab-cluster"
            configuration.trap = (LabNode.metadataAddress, 80)
            configuration.listener = { host, port in try network.listen(host: host, port: port) }
            configure(&configuration)
            try FileManager.default.createDirectory(
                atPath: configuration.directory, withIntermediateDirectories: true
            )
            let cluster = try await LabCluster.start(configuration, keys: keys)
            cluster.kubernetes.allowAudience(configuration.providerName)
            return LabWorld(node: node, cluster: cluster, binaries: try Binaries.directory())
        } catch {
            await node.tearDown()
            throw error
        }
    }

    /// Runs `body` in a fresh world, and takes the world down whatever happens.
    package static func with<Value>(
        keys: LabCluster.Keys, layout: CgroupLayout = .standard,
        configure: (inout LabCluster.Configuration) -> Void = { _ in }, _ body: (LabWorld) async throws -> Value
    ) async throws -> Value {
        let world = try await start(keys: keys, layout: layout, configure: configure)
        do {
            let value = try await body(world)
            await world.stop()
            return value
        } catch {
            await world.stop()
            throw error
        }
    }

    /// Stops the agents as the kubelet does.
    package func stopAgents() async {
        for agent in agents.withLock({ $0 }) where agent.isRunning { await agent.stop() }
    }

    /// Stops agents and servers, and removes everything that was made.
    package func stop() async {
        for agent in agents.withLock({ $0 }) where agent.isRunning { await agent.kill() }
        _ = try? await Command.run(uninstallCommand)
        await cluster.stop()
        await node.tearDown()
    }

    package var uninstallCommand: [String] {
        [
            binaries + "/podidentd", "uninstall", "--pin-directory", pinDirectory, "--socket",
            node.directory + "/admin.sock",
        ]
    }

    package var pinDirectory: String { node.bpfFileSystem + "/podidentd" }

    /// Creates a pod in the API and starts it on the node.
    package func addPod(
        _ name: String, namespace: String = "default", serviceAccount: String = "default",
        quality: CgroupLayout.QualityOfService = .besteffort, isHostNetwork: Bool = false,
        labels: [String: String] = [:], uid: String = UUID().uuidString.lowercased()
    ) async throws -> RunningPod {
        let specification = RunningPodSpecification(
            name: name, namespace: namespace, uid: uid, quality: quality, isHostNetwork: isHostNetwork
        )
        cluster.kubernetes.createPod(
            namespace: namespace, name: name, serviceAccount: serviceAccount, node: Self.nodeName,
            uid: specification.uid, hostNetwork: isHostNetwork, labels: labels
        )
        return try await node.addPod(specification)
    }

    /// Deletes a pod: its processes and cgroups first, then its object, as the kubelet does.
    package func deletePod(_ pod: RunningPod) async {
        await node.remove(pod)
        cluster.kubernetes.deletePod(
            namespace: pod.specification.namespace, name: pod.name, .force
        )
    }

    /// The agent's configuration for this world, by key.
    package var agentConfiguration: [String: String] {
        [
            "node-name": Self.nodeName,
            "listen.port": "\(AgentProcess.port)",
            "bpf.pin-directory": pinDirectory,
            "cgroup.mount-point": node.cgroupMountPoint,
            "cgroup.kubepods": node.kubepods,
            "kubernetes.kubeconfig": cluster.kubeconfigPath,
            "google.provider": cluster.configuration.providerName,
            "google.sts-url": cluster.securityTokenServiceURL,
            "google.iam-credentials-url": cluster.iamCredentialsURL,
            "google.ca-file": cluster.authorityPath,
            "google.project-id": Self.project,
            "google.project-number": Self.projectNumber,
            "instance.zone": "europe-west1-b",
            "instance.id": "4242",
            "cluster.name": "lab",
            "cluster.location": "europe-west1",
            "cluster.uid": "0f1e2d3c",
            "admin.socket": node.directory + "/admin.sock",
        ]
    }

    package var agentConfigurationPath: String { node.directory + "/podidentd.yaml" }

    /// Writes the agent's configuration file, and returns what it says. `changes` are keys to configure differently,
    /// `nil` leaves one out.
    @discardableResult
    package func writeAgentConfiguration(_ changes: [String: String?] = [:]) throws -> [String: String] {
        var values = agentConfiguration
        for (key, value) in changes { values[key] = value }
        try Self.yaml(values).write(toFile: agentConfigurationPath, atomically: true, encoding: .utf8)
        return values
    }

    /// Starts the agent, without waiting for it. `changes` are keys to configure differently, `nil` leaves one out;
    /// `prefix` is a command that runs the agent, such as one that takes capabilities away; `options` come last.
    package func launchAgent(
        _ changes: [String: String?] = [:], prefix: [String] = [], options: [String] = []
    ) throws -> AgentProcess {
        let values = try writeAgentConfiguration(changes)
        let path = agentConfigurationPath
        let agent = try AgentProcess(
            arguments: prefix + [binaries + "/podidentd", "run", "--config", path] + options, node: node,
            configurationPath: path, adminSocket: values["admin.socket"] ?? node.directory + "/admin.sock"
        )
        agents.withLock { $0.append(agent) }
        return agent
    }

    /// Starts the agent and waits until it serves.
    package func startAgent(
        _ changes: [String: String?] = [:], prefix: [String] = []
    ) async throws -> AgentProcess {
        let agent = try launchAgent(changes, prefix: prefix)
        do {
            try await agent.waitUntilReady()
        } catch {
            await agent.kill()
            throw error
        }
        return agent
    }

    /// The lab's own client, run inside `pod`.
    package func probe(_ pod: RunningPod, _ arguments: [String]) throws -> Command {
        try pod.start([binaries + "/podidentd-lab", "probe"] + arguments)
    }

    package static func yaml(_ values: [String: String]) -> String {
        var lines: [String] = []
        var section = ""
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            let parts = key.split(separator: ".").map(String.init)
            if parts.count == 2, parts[0] != section {
                section = parts[0]
                lines.append("\(section):")
            }
            lines.append((parts.count == 2 ? "  " : "") + "\(parts[parts.count - 1]): \"\(value)\"")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
