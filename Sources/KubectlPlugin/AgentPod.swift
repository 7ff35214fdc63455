import FoundationEssentials

/// The pod of an agent, and the node that it serves.
package struct AgentPod: Sendable, Equatable {
    package var node: String
    package var namespace: String
    package var name: String
    /// Whether the kubelet says that the agent is ready; of a node that is down, the node controller says it is not.
    package var isReady: Bool
    /// RFC 3339, as the API server writes it.
    var created: String

    private static let selector = "app.kubernetes.io/name=podidentd"

    /// The agents of a cluster, one a node, in the order of the nodes' names.
    package static func all(_ kubectl: Kubectl, namespace: String) async throws(PluginError) -> [AgentPod] {
        let output = try await kubectl.output(
            ["get", "pods", "--namespace", namespace, "--selector", selector, "--output", "json"])
        let agents = try agents(inList: output)
        guard !agents.isEmpty else {
            throw PluginError(
                "no pod in the namespace \(namespace) is an agent (label \(selector)); --agent-namespace names another")
        }
        return agents
    }

    /// The agents in the answer to `kubectl get pods`. While a DaemonSet is updated a node has two: the ready one
    /// counts, else the newer.
    static func agents(inList json: [UInt8]) throws(PluginError) -> [AgentPod] {
        let list: ObjectList
        do {
            list = try JSONDecoder().decode(ObjectList.self, from: Data(json))
        } catch {
            throw PluginError("kubectl printed no list of pods")
        }
        var agents: [String: AgentPod] = [:]
        for object in list.items {
            guard let node = object.spec?.nodeName else { continue }
            let agent = AgentPod(
                node: node, namespace: object.metadata.namespace ?? "", name: object.metadata.name,
                isReady: object.status?.conditions?.contains { $0.type == "Ready" && $0.status == "True" } ?? false,
                created: object.metadata.creationTimestamp ?? "")
            if let other = agents[node], (other.isReady, other.created) >= (agent.isReady, agent.created) { continue }
            agents[node] = agent
        }
        return agents.values.sorted { $0.node < $1.node }
    }

    /// The node that a pod runs on.
    package static func node(
        of pod: String, namespace: String, _ kubectl: Kubectl
    ) async throws(PluginError) -> String {
        let output = try await kubectl.output(["get", "pod", pod, "--namespace", namespace, "--output", "json"])
        guard let object = try? JSONDecoder().decode(Object.self, from: Data(output)) else {
            throw PluginError("kubectl printed no pod")
        }
        guard let node = object.spec?.nodeName else {
            throw PluginError("pod \(namespace)/\(pod) runs on no node yet: the scheduler has not placed it")
        }
        return node
    }

    /// Runs the agent's program in its container.
    package func run(_ arguments: [String], _ kubectl: Kubectl) async throws(PluginError) -> Kubectl.Ended {
        try await kubectl.run(
            ["exec", "--namespace", namespace, name, "--container", "podidentd", "--", "/podidentd"] + arguments
                + ["--config", "/etc/podidentd/podidentd.yaml"])
    }

    private struct ObjectList: Decodable {
        var items: [Object]
    }

    private struct Object: Decodable {
        struct Metadata: Decodable {
            var name: String
            var namespace: String?
            var creationTimestamp: String?
        }
        struct Spec: Decodable { var nodeName: String? }
        struct Status: Decodable {
            struct Condition: Decodable {
                var type: String
                var status: String
            }
            var conditions: [Condition]?
        }
        var metadata: Metadata
        var spec: Spec?
        var status: Status?
    }
}

/// `false` is before `true`, then texts by their bytes.
private func >= (left: (Bool, String), right: (Bool, String)) -> Bool {
    left.0 == right.0 ? left.1 >= right.1 : left.0
}
