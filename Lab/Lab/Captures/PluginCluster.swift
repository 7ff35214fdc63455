import Foundation

/// A cluster of two nodes as kubectl sees it: the lab's node with its agent, and one whose kubelet does not answer.
///
/// The tools of `make deploy-test` must be there: the real kubectl, and Python for the API server.
package final class PluginCluster: Sendable {
    /// The node whose kubelet does not answer.
    package static let nodeDown = "node-b"
    /// The name of the agent's audit file below the node's directory, which the cluster serves as the agent's log.
    package static let auditFile = "audit.log"
    /// The name of the file below the node's directory with the rights that the user has, and those that were used.
    package static let rightsFile = "rights.json"

    private let server: Command
    private let path: String
    private let kubeconfig: String

    /// Runs `body` beside the cluster of a world that gets an agent and one pod, `shop/web-1`, which has its token.
    ///
    /// - Parameters:
    ///   - world: The world.
    ///   - repository: The repository's folder, where the tools are.
    ///   - rights: The user's Roles in YAML; `nil`: the user may do everything.
    ///   - body: Gets the cluster.
    /// - Throws: Why the cluster did not start, or the error of `body`.
    package static func run(
        in world: LabWorld, repository: String, rights: String? = nil, _ body: (PluginCluster) async throws -> Void
    ) async throws {
        world.cluster.kubernetes.createServiceAccount(namespace: "shop", name: "web")
        let pod = try await world.addPod("web-1", namespace: "shop", serviceAccount: "web")
        let agent = try await world.startAgent(["audit.path": "\(world.node.directory)/\(auditFile)"])
        let path = "/computeMetadata/v1/instance/service-accounts/default/token"
        let token = try await pod.run(
            "curl", "-s", "-f", "-H", "Metadata-Flavor: Google", "http://\(LabNode.metadataAddress)\(path)")
        guard token.succeeded else { throw LabError("the pod gets no token: \(token.output)") }
        let cluster = try await start(
            world, agent, repository: repository, rights: rights, pods: [("shop", "web-1")])
        do {
            try await body(cluster)
        } catch {
            await cluster.stop()
            await agent.kill()
            throw error
        }
        await cluster.stop()
        await agent.stop()
    }

    /// Starts the API server. `repository` is the repository's folder, where the tools are; `pods` are namespace and name
    /// of pods of the lab's node.
    private static func start(
        _ world: LabWorld, _ agent: AgentProcess, repository: String, rights: String?,
        pods: [(namespace: String, name: String)]
    ) async throws -> PluginCluster {
        let tools = repository + "/.build/deploy"
        let kubeconfig = world.node.directory + "/kubectl.conf"
        let running = pods.map { JSON.array([.string($0.namespace), .string($0.name), .string(LabWorld.nodeName)]) }
        let roles = rights.map(JSON.string) ?? .null
        let description: JSON = [
            "node": .string(LabWorld.nodeName), "down": .string(nodeDown),
            "program": .string(world.binaries + "/podidentd"), "configuration": .string(agent.configurationPath),
            "network": .string(world.node.network.path), "audit": .string("\(world.node.directory)/\(auditFile)"),
            "kubeconfig": .string(kubeconfig), "pods": .array(running),
            "rights": roles, "used": .string("\(world.node.directory)/\(rightsFile)"),
        ]
        let server = try Command([
            tools + "/venv/bin/python", repository + "/deploy/tests/cluster_of_lab", description.text,
        ])
        let cluster = PluginCluster(
            server: server, path: "\(world.binaries):\(tools)/bin:/usr/bin:/bin", kubeconfig: kubeconfig)
        do {
            try await server.errorLines.first(within: .seconds(30)) { $0 == "ready" }
        } catch {
            let lines = server.errorLines.events.joined(separator: "\n")
            await cluster.stop()
            throw LabError("the API server did not start: \(lines)")
        }
        return cluster
    }

    private init(server: Command, path: String, kubeconfig: String) {
        self.server = server
        self.path = path
        self.kubeconfig = kubeconfig
    }

    /// Runs the real kubectl, which finds the plugin in its `PATH`.
    package func kubectl(_ arguments: [String]) async throws -> CommandResult {
        try await Command.run(environment + ["kubectl"] + arguments)
    }

    /// The same on a terminal, which shows both outputs.
    package func kubectlOnTerminal(_ arguments: [String]) async throws -> CommandResult {
        let line = (["kubectl"] + arguments).joined(separator: " ")
        return try await Command.run(environment + ["TERM=xterm", "script", "-qec", line, "/dev/null"])
    }

    private var environment: [String] {
        let folder = (kubeconfig as NSString).deletingLastPathComponent
        return ["env", "-i", "PATH=\(path)", "KUBECONFIG=\(kubeconfig)", "HOME=\(folder)"]
    }

    package func stop() async {
        server.signal(SIGTERM)
        _ = await server.result()
    }
}
