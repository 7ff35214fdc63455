import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `podidentd check` names rights in the cluster that are wider than the configuration, as an earlier installation leaves them.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct RightsTests {
    /// The verdict of the check on the rights, on a node without an agent.
    private func rights(_ world: LabWorld, _ changes: [String: String?]) async throws -> Posture.Item {
        let path = world.node.directory + "/check.yaml"
        var values = world.agentConfiguration
        for (key, value) in changes { values[key] = value }
        try LabWorld.yaml(values).write(toFile: path, atomically: true, encoding: .utf8)
        let result = try await Command.run([
            "nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd", "check", "--config",
            path,
            "--output", "json",
        ])
        let posture = try JSONDecoder().decode(Posture.self, from: Data(result.output.utf8))
        return try #require(posture.sections.flatMap(\.items).first { $0.id == "credentials.rights" }, "\(posture)")
    }

    @Test("the audience in every namespace, in one too many, and any audience")
    func audiences() async throws {
        try await withWorld { world in
            let kubernetes = world.cluster.kubernetes
            let provider = world.cluster.configuration.providerName
            for namespace in ["default", "team-b"] {
                world.addServiceAccount("app", namespace: namespace)
                _ = try await world.addPod("a", namespace: namespace, serviceAccount: "app")
            }
            let narrow: [String: String?] = ["kubernetes.audience-namespaces": "default"]
            #expect(try await rights(world, [:]).state == .ok)
            // The ClusterRole that 'kubectl apply' left when it added the Role of the component audience-by-namespace.
            let wide = try await rights(world, narrow)
            #expect(wide.state == .degraded)
            #expect(wide.found.contains("in every namespace") && wide.meaning.contains("deploy/prune"))

            kubernetes.revokeAudience()
            kubernetes.allowAudience(provider, namespace: "default")
            #expect(try await rights(world, narrow).state == .ok)
            kubernetes.allowAudience(provider, namespace: "team-b")
            let other = try await rights(world, narrow)
            #expect(other.state == .degraded && other.found.contains("in the namespace team-b"))

            kubernetes.allowAudience("*")
            let any = try await rights(world, [:])
            #expect(any.state == .degraded && any.found.contains("any audience"))
        }
    }

    @Test("the right to change Nodes, without the component that needs it")
    func nodes() async throws {
        let objects = try await Manifest.objects("component-startup-taint")
        try await withWorld { world in
            let kubernetes = world.cluster.kubernetes
            let uid = kubernetes.createPod(
                namespace: "podidentd", name: "podidentd-x", serviceAccount: "podidentd", node: LabWorld.nodeName,
                hostNetwork: true)
            // The check finds kubepods by its own pod, as the agent does.
            _ = try await world.node.addPod(
                RunningPodSpecification(name: "podidentd-x", namespace: "podidentd", uid: uid, isHostNetwork: true))
            let own: [String: String?] = ["pod-uid": uid]
            #expect(try await rights(world, own).state == .ok)
            try kubernetes.apply(objects)
            let left = try await rights(world, own)
            #expect(left.state == .degraded)
            #expect(left.found.contains("podidentd/podidentd may change every Node"))
            let wanted = own.merging(["startup-taint.key": "podidentd.io/agent-not-ready"]) { $1 }
            #expect(try await rights(world, wanted).state == .ok)
        }
    }
}
