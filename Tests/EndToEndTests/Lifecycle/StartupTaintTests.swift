import AgentTesting
import Foundation
import Lab
import Testing

/// The component startup-taint: pods stay away from a node until the agent there serves.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct StartupTaintTests {
    private static let taint = "podidentd.io/agent-not-ready"
    private static let other = "node.kubernetes.io/memory-pressure"

    @Test(
        "the agent takes its own taint from its node when it serves, with its own ServiceAccount, and leaves the others"
    )
    func removed() async throws {
        try await withTaintedWorld { world, changes in
            let agent = try await world.startAgent(changes)
            try await agent.log.first(within: .seconds(60)) { $0.contains("startup taint removed") }
            #expect(world.cluster.kubernetes.taints(ofNode: LabWorld.nodeName) == [Self.other])
            let patches = Self.patches(world)
            #expect(patches.map(\.user) == ["system:serviceaccount:podidentd:podidentd"])
            #expect(patches.map(\.path) == ["/api/v1/nodes/\(LabWorld.nodeName)"])
            await agent.stop()
        }
    }

    @Test("an agent whose own pod's connection is not answered leaves the taint in place")
    func keptWithoutProof() async throws {
        try await withTaintedWorld { world, changes in
            let pod = try await world.addPod("agent", namespace: "podidentd", isHostNetwork: true)
            let changes = changes.merging(
                ["pod-uid": pod.uid, "policies": "[{policy: deny, namespace: podidentd}]"]
            ) { $1 }
            let agent = try world.launchAgent(
                changes,
                prefix: [
                    "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"",
                    world.node.cgroupDirectory(pod.containerCgroup) + "/cgroup.procs",
                ])
            try await agent.log.first(within: .seconds(60)) { $0.contains("is not answered: not ready") }
            #expect(Self.patches(world).isEmpty)
            #expect(world.cluster.kubernetes.taints(ofNode: LabWorld.nodeName) == [Self.other, Self.taint])
            await agent.stop()
        }
    }

    @Test("an API server that fails once is asked again")
    func retried() async throws {
        try await withTaintedWorld { world, changes in
            world.cluster.kubernetesServer.faults.inject(.status(503), times: 1) { $0.method == "PATCH" }
            let agent = try await world.startAgent(changes)
            try await agent.log.first(within: .seconds(60)) { $0.contains("startup taint removed") }
            #expect(Self.patches(world).map(\.status) == [503, 200])
            #expect(agent.log.events.contains { $0.contains("the startup taint cannot be removed") })
            await agent.stop()
        }
    }

    @Test("taints that change between reading and removing are read again, and none but its own is removed")
    func changedMeanwhile() async throws {
        try await withTaintedWorld { world, changes in
            let kubernetes = world.cluster.kubernetes
            // The second of the two goes while the patch is under way: the index in it means nothing any more.
            world.cluster.kubernetesServer.faults.inject(.delay(.milliseconds(1)), times: 1) { request in
                guard request.method == "PATCH" else { return false }
                kubernetes.updateNode(LabWorld.nodeName) { $0.taints.reverse() }
                return true
            }
            let agent = try await world.startAgent(changes)
            try await agent.log.first(within: .seconds(60)) { $0.contains("startup taint removed") }
            #expect(kubernetes.taints(ofNode: LabWorld.nodeName) == [Self.other])
            #expect(Self.patches(world).map(\.status) == [422, 200])
            await agent.stop()
        }
    }

    @Test("without the right the agent serves all the same, and says what is missing")
    func withoutRight() async throws {
        try await withTaintedWorld { world, changes in
            world.cluster.kubernetes.revokeManifests()
            let agent = try await world.startAgent(changes)
            let line = try await agent.log.first(within: .seconds(60)) {
                $0.contains("the startup taint cannot be removed")
            }
            #expect(line.contains("kubectl taint node \(LabWorld.nodeName) \(Self.taint)-"))
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            #expect(try await pod.token().accessToken.hasPrefix("ya29."))
            #expect(world.cluster.kubernetes.taints(ofNode: LabWorld.nodeName) == [Self.other, Self.taint])
            await agent.stop()
        }
    }

    @Test("without a token file the agent does not start, and names the file")
    func withoutToken() async throws {
        try await withTaintedWorld { world, changes in
            var changes = changes
            changes["startup-taint.token-file"] = world.node.directory + "/nowhere"
            let result = await (try world.launchAgent(changes)).result()
            #expect(result.status != 0)
            #expect(result.errorOutput.contains(world.node.directory + "/nowhere"))
        }
    }

    /// A world with the component installed, a tainted node, and the agent's token where a projected volume has it; and the
    /// changes of the agent's configuration.
    private func withTaintedWorld(_ body: (LabWorld, [String: String?]) async throws -> Void) async throws {
        let objects = try await Manifest.objects("component-startup-taint")
        let settings = try #require(objects.first { $0["data"]?["PODIDENTD_STARTUP_TAINT_KEY"] != nil })
        #expect(settings["data"]?["PODIDENTD_STARTUP_TAINT_KEY"]?.string == Self.taint)
        try await withWorld { world in
            let kubernetes = world.cluster.kubernetes
            try kubernetes.apply(objects)
            kubernetes.createPod(
                namespace: "podidentd", name: "podidentd-x", serviceAccount: "podidentd", node: LabWorld.nodeName,
                hostNetwork: true)
            kubernetes.updateNode(LabWorld.nodeName) { node in
                node.taints = [.init(key: Self.other), .init(key: Self.taint)]
            }
            let path = world.node.directory + "/token"
            try kubernetes.projectedToken(namespace: "podidentd", pod: "podidentd-x")
                .write(toFile: path, atomically: true, encoding: .utf8)
            try await body(world, ["startup-taint.key": Self.taint, "startup-taint.token-file": path])
        }
    }

    private static func patches(_ world: LabWorld) -> [LabRequestRecord] {
        world.cluster.kubernetesServer.requests.events.filter { $0.method == "PATCH" }
    }
}
