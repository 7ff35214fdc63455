import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The command that the readiness probe of the agent's pod runs.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ReadyTests {
    @Test("during a hand-over the agent that runs is ready for its own pod only; afterwards the successor is")
    func handover() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let (old, new) = (try await Self.agentPod(world, "old"), try await Self.agentPod(world, "new"))
            #expect(try await Self.ready(world, old, "no agent answers"))
            let first = try Self.launch(world, in: old)
            try await first.waitUntilReady()
            try await first.log.first { $0.contains("answered with its own pod-uid") }
            #expect(try await Self.ready(world, old, nil))
            #expect(try await Self.ready(world, new, "the agent of pod \(old.uid) answers here"))

            // The successor cannot begin before it has the pods.
            await world.cluster.kubernetesServer.takeDown()
            let second = try Self.launch(world, in: new)
            try await second.log.first { $0.contains("pods cannot be listed") }
            #expect(try await world.operations("/readyz").status == 200, "an HTTP probe takes one for the other")
            #expect(try await Self.ready(world, new, "the agent of pod \(old.uid) answers here"))
            #expect(try await Self.ready(world, old, nil))

            try await world.cluster.kubernetesServer.bringUp()
            try await second.waitUntilReady(within: .seconds(60))
            try await second.log.first { $0.contains("answered with its own pod-uid") }
            #expect(try await Self.ready(world, new, nil))
            #expect(try await Self.ready(world, old, "the agent of pod \(new.uid) answers here"))
            #expect(await first.result().status == 0)
            await second.stop()
        }
    }

    @Test("the command names what is not ready, as /readyz does; without a pod any agent will do")
    func conditions() async throws {
        try await withWorld { world in
            await world.cluster.kubernetesServer.takeDown()
            let agent = try await world.startAgentWithoutPods()
            #expect(try await Self.ready(world, nil, "pods: the pod list has not been read yet"))
            try await world.cluster.kubernetesServer.bringUp()
            let deadline = ContinuousClock.now + .seconds(60)
            while try await agent.status().podsSynced == false {
                guard ContinuousClock.now < deadline else { throw LabError("no pod list in a minute") }
            }
            #expect(try await Self.ready(world, nil, nil))
            // An agent that was not told its pod is not taken for the agent of one.
            let pod = try await Self.agentPod(world, "agent")
            #expect(try await Self.ready(world, pod, "not told its pod-uid"))
            await agent.stop()
        }
    }

    /// Whether the command, run in `pod`, says that the agent is ready, or why it is not.
    private static func ready(_ world: LabWorld, _ pod: RunningPod?, _ problem: String?) async throws -> Bool {
        let result = try await Command.run(
            ["env"] + (pod.map { ["PODIDENTD_POD_UID=\($0.uid)"] } ?? [])
                + [world.binaries + "/podidentd", "ready", "--socket", world.node.directory + "/admin.sock"])
        let isOneLine = result.output.count { $0 == "\n" } == 1 && result.errorOutput.isEmpty
        let isAsExpected =
            if let problem {
                result.status == 1 && result.output.hasPrefix("not ready: ") && result.output.contains(problem)
            } else {
                result.status == 0 && result.output.hasPrefix("ready")
            }
        if !isOneLine || !isAsExpected { print("READY \(result.status) \(result.output)\(result.errorOutput)") }
        return isOneLine && isAsExpected
    }

    private static func agentPod(_ world: LabWorld, _ name: String) async throws -> RunningPod {
        try await world.addPod(name, isHostNetwork: true)
    }

    /// Starts an agent as a container of `pod`.
    private static func launch(_ world: LabWorld, in pod: RunningPod) throws -> AgentProcess {
        try world.launchAgent(
            ["pod-uid": pod.uid],
            prefix: [
                "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"",
                world.node.cgroupDirectory(pod.containerCgroup) + "/cgroup.procs",
            ])
    }
}
