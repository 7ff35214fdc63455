import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// Pods that are not attributed: refused, or led to the machine's own metadata server, whatever happens around them.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct PolicyTests {
    private static let policies: [String: String?] = [
        "policies": """
        [{policy: deny, namespace: locked}, {policy: passthrough, namespace: [default, kube-system], labels: metadata=machine}]
        """
    ]
    private static let machine = ["metadata": "machine"]

    @Test("a pod of a denied namespace is refused by the kernel, its neighbour is not", arguments: [false, true])
    func deniedNamespace(isHostNetwork: Bool) async throws {
        try await withAgent(Self.policies) { world, agent in
            world.addServiceAccount("app")
            let denied = try await world.addPod("a", namespace: "locked", isHostNetwork: isHostNetwork)
            let other = try await world.addPod("b", serviceAccount: "app", isHostNetwork: isHostNetwork)
            try await agent.settled { $0.policies == 1 }
            #expect(try await denied.isRefused())
            #expect(try await other.ask().status == 200)
            let status = try await agent.status()
            #expect(status.kernel["refused_policy"] == 1)
            #expect(world.cluster.trap?.connections == 0)
            let dump = try await agent.cgroups()
            #expect(Set(dump.rows.filter { $0.namespace == "locked" }.map(\.state)) == [.denied])
            #expect(Set(dump.rows.filter { $0.namespace == "default" }.map(\.state)) == [.attributed])
        }
    }

    @Test("a hostNetwork pod that a rule lets through reaches the machine's server, and no other pod does")
    func passthroughOnHostNetwork() async throws {
        try await withAgent(Self.policies) { world, agent in
            world.addServiceAccount("app")
            let passed = try await world.addPod("a", isHostNetwork: true, labels: Self.machine)
            let other = try await world.addPod("b", serviceAccount: "app", isHostNetwork: true)
            try await agent.settled { $0.policies == 1 }
            #expect(try await passed.ask().token?.accessToken == TrapServer.token)
            #expect(try world.owner(of: try await other.ask()).subject.podUID == other.uid)
            #expect(world.cluster.trap?.connections == 1)
            #expect(world.cluster.kubernetes.mints.events.allSatisfy { $0.podUID == other.uid })
            #expect(try await agent.cgroups().rows.contains { $0.pod == "a" && $0.state == .passthrough })
        }
    }

    @Test("A20: a tenant's pod with the labels of a rule, in a namespace of his own, gets its own identity")
    func foreignNamespace() async throws {
        try await withAgent(Self.policies) { world, agent in
            world.addServiceAccount("app")
            world.cluster.kubernetes.createServiceAccount(namespace: "tenant", name: "app")
            let passed = try await world.addPod("a", isHostNetwork: true, labels: Self.machine)
            let tenant = try await world.addPod(
                "b", namespace: "tenant", serviceAccount: "app", isHostNetwork: true, labels: Self.machine)
            try await agent.settled { $0.policies == 1 }
            #expect(try world.owner(of: try await tenant.ask()).subject.podUID == tenant.uid)
            #expect(world.cluster.trap?.connections == 0)
            #expect(try await passed.ask().token?.accessToken == TrapServer.token)
        }
    }

    @Test("the connect hook lets an ordinary pod through that a rule lets through")
    func passthroughAtConnect() async throws {
        try await withAgent(Self.policies) { world, agent in
            let passed = try await world.addPod("a", labels: Self.machine)
            try await agent.settled { $0.policies == 1 }
            _ = try await passed.run("curl", "-s", "--max-time", "1", "http://169.254.169.254/")
            let status = try await agent.status()
            #expect(status.kernel["passed_through"] == 1)
            #expect(status.kernel["redirected"] == 0)
            #expect(status.kernel["dropped_egress"] == 0)
        }
    }

    @Test("an ordinary pod that a rule lets through reaches the machine's server, where the host guard knows rules")
    func passthroughOfOrdinaryPod() async throws {
        try await withAgent(Self.policies) { world, agent in
            let passed = try await world.addPod("a", labels: Self.machine)
            try await agent.settled { $0.policies == 1 }
            guard LabKernel.hasNetfilterLinks else {
                let silence = try await passed.run("curl", "-s", "--max-time", "2", "http://169.254.169.254/")
                #expect(silence.status == 28)
                #expect(world.cluster.trap?.connections == 0)
                return
            }
            #expect(try await passed.ask().token?.accessToken == TrapServer.token)
            #expect(world.cluster.trap?.connections == 1)
        }
    }

    @Test("a static pod is found by its mirror's namespace and labels")
    func staticPod() async throws {
        try await withAgent(Self.policies) { world, agent in
            let hash = "0123456789abcdef0123456789abcdef"
            world.cluster.kubernetes.createPod(
                namespace: "kube-system", name: "proxy-node-a", node: LabWorld.nodeName, hostNetwork: true,
                labels: Self.machine, staticConfigHash: hash)
            let pod = try await world.node.addPod(
                RunningPodSpecification(name: "proxy", namespace: "kube-system", uid: hash, isHostNetwork: true))
            try await agent.settled { $0.policies == 1 }
            #expect(try await pod.ask().token?.accessToken == TrapServer.token)
        }
    }

    @Test("a change of labels counts from the next connection on")
    func relabelled() async throws {
        try await withAgent(Self.policies) { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            for _ in 0..<3 {
                #expect(try world.owner(of: try await pod.ask()).subject.podUID == pod.uid)
                world.cluster.kubernetes.updatePod(namespace: "default", name: "a") { $0.labels = Self.machine }
                try await agent.settled { $0.policies == 1 }
                #expect(try await pod.ask().token?.accessToken == TrapServer.token)
                world.cluster.kubernetes.updatePod(namespace: "default", name: "a") { $0.labels = [:] }
                try await agent.settled { $0.policies == 0 }
            }
            #expect(world.cluster.trap?.connections == 3)
        }
    }

    @Test("a denied pod that connects before its record has come is refused by the agent, then by the kernel")
    func deniedInTheGap() async throws {
        try await withAgent(Self.policies) { world, agent in
            let (pod, answer) = try await askInTheGap(world, agent, namespace: "locked")
            #expect(answer.status == 403 && answer.retryAfter == nil)
            #expect(answer.body.contains("locked/a is denied the metadata server"))
            try await agent.settled { $0.policies == 1 }
            #expect(try await pod.isRefused())
            #expect(world.cluster.kubernetes.mints.total == 0)
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("a pod that is to pass and connects before its record has come gets 503, and passes when it tries again")
    func passedInTheGap() async throws {
        try await withAgent(Self.policies) { world, agent in
            let (pod, answer) = try await askInTheGap(world, agent, labels: Self.machine)
            #expect(answer.status == 503 && answer.retryAfter == 1 && answer.headers["connection"] == "close")
            try await agent.settled { $0.policies == 1 }
            #expect(try await pod.ask().token?.accessToken == TrapServer.token)
            #expect(world.cluster.kubernetes.mints.total == 0)
        }
    }

    /// The answer to a pod that asks before the API server has its object: the connection is older than the record.
    private func askInTheGap(
        _ world: LabWorld, _ agent: AgentProcess, namespace: String = "default", labels: [String: String] = [:]
    ) async throws -> (RunningPod, MetadataResponse) {
        try await agent.settled { $0.podsSynced }
        let specification = RunningPodSpecification(name: "a", namespace: namespace, isHostNetwork: true)
        let pod = try await world.node.addPod(specification)
        let tagged = try await agent.status().kernel["tagged", default: 0]
        async let held = pod.ask()
        try await agent.settled { $0.kernel["tagged", default: 0] > tagged }
        world.cluster.kubernetes.createPod(
            namespace: namespace, name: "a", node: LabWorld.nodeName, uid: specification.uid, hostNetwork: true,
            labels: labels)
        return (pod, try await held)
    }

    @Test("policies hold while the agent is away, and when it comes back without an API server; dead pods' do not")
    func restart() async throws {
        try await withWorld { world in
            let first = try await world.startAgent(Self.policies)
            let denied = try await world.addPod("a", namespace: "locked", isHostNetwork: true)
            let gone = try await world.addPod("gone", namespace: "locked", isHostNetwork: true)
            let passed = try await world.addPod("b", isHostNetwork: true, labels: Self.machine)
            try await first.settled { $0.policies == 3 }
            let refusals = try await first.status().kernel["refused_policy", default: 0]
            await first.stop()
            #expect(try await denied.isRefused())
            #expect(try await passed.ask().token?.accessToken == TrapServer.token)
            await world.deletePod(gone)

            await world.cluster.kubernetesServer.takeDown()
            let second = try await world.startAgentWithoutPods(Self.policies)
            #expect(try await denied.isRefused())
            #expect(try await passed.ask().token?.accessToken == TrapServer.token)
            let status = try await second.status()
            #expect(!status.podsSynced && status.policies == 2)
            #expect(status.kernel["refused_policy"] == refusals + 2)

            try await world.cluster.kubernetesServer.bringUp()
            try await second.settled { $0.podsSynced }
            #expect(try await second.status().policies == 2)
            #expect(try await denied.isRefused())
            #expect(try await passed.ask().token?.accessToken == TrapServer.token)
            #expect(world.cluster.trap?.connections == 3)
            await second.stop()
        }
    }

    @Test("an agent that is started without a rule takes its effect back before the pod list is there")
    func rulesTakenAway() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let first = try await world.startAgent(Self.policies)
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true, labels: Self.machine)
            try await first.settled { $0.policies == 1 }
            await first.stop()
            let second = try await world.startAgent()
            #expect(try await second.status().policies == 0)
            #expect(try world.owner(of: try await pod.ask()).subject.podUID == pod.uid)
            #expect(world.cluster.trap?.connections == 0)
            await second.stop()
        }
    }

    @Test("an agent that was replaced, and still answers, gives no new pod a policy of its own rules")
    func replaced() async throws {
        try await withWorld { world in
            let first = try await world.startAgent(Self.policies.merging(["shutdown.drain-seconds": "30"]) { $1 })
            let pod = try await world.addPod("a", isHostNetwork: true)
            // The first agent waits for one more request of this connection.
            let client = try await pod.keepConnection()
            let second = try await world.startAgent()
            try await first.log.first { $0.contains("handed over to a successor") }
            let late = try await world.addPod("late", namespace: "locked", isHostNetwork: true)
            #expect(try await late.curl("/").status == 200)
            client.signal(SIGTERM)
            let ended = await first.result()
            #expect(ended.status == 0 && !ended.errorOutput.contains("policy set"), "\(ended.errorOutput)")
            #expect(try await late.curl("/").status == 200)
            #expect(try await second.status().policies == 0)
            await second.stop()
        }
    }

    @Test("a pod that is deleted while its cgroup lives on may not pass any more, and stays denied")
    func deleted() async throws {
        try await withAgent(Self.policies) { world, agent in
            let denied = try await world.addPod("a", namespace: "locked", isHostNetwork: true)
            let passed = try await world.addPod("b", isHostNetwork: true, labels: Self.machine)
            try await agent.settled { $0.policies == 2 }
            world.cluster.kubernetes.deletePod(namespace: "locked", name: "a", .force)
            world.cluster.kubernetes.deletePod(namespace: "default", name: "b", .force)
            try await agent.settled { $0.policies == 1 }
            #expect(try await denied.isRefused())
            let answer = try await passed.ask()
            #expect(answer.status == 403 && answer.body.contains("is gone"))
            await denied.removeCgroup()
            try await agent.settled { $0.policies == 0 }
            #expect(world.cluster.trap?.connections == 0)
        }
    }
}

extension AgentProcess {
    /// Asks the agent, again and again for at most a minute, until what it says of itself is as wanted.
    @discardableResult
    func settled(_ isWanted: (AgentStatus) -> Bool) async throws -> AgentStatus {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while true {
            let status = try await status()
            if isWanted(status) { return status }
            guard ContinuousClock.now < deadline else {
                throw LabError("still not as wanted after a minute: \(status)")
            }
        }
    }

    /// The dump that `debug cgroups` shows.
    func cgroups() async throws -> CgroupDump {
        let data = Data(try await AdminClient(socketPath: adminSocket).get("/debug/cgroups"))
        return try JSONDecoder().decode(CgroupDump.self, from: data)
    }
}

extension RunningPod {
    /// Asks once, and keeps the connection as long as the command runs.
    func keepConnection() async throws -> Command {
        let script = """
            exec 3<> /dev/tcp/169.254.169.254/80
            printf 'GET / HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nMetadata-Flavor: Google\\r\\n\\r\\n' >&3
            exec tee /dev/stderr <&3
            """
        let client = try start(["bash", "-c", script])
        try await client.errorLines.first { $0.hasPrefix("HTTP/1.1 200") }
        return client
    }

    /// Whether a connection to the metadata address is refused (`ECONNREFUSED`).
    func isRefused() async throws -> Bool {
        try await run("curl", "-s", "--max-time", "60", "http://169.254.169.254/").status == 7
    }
}
