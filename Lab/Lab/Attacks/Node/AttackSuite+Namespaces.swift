import Foundation

/// A16 and A17: network namespaces of pods, how many one may have, who enters them; and the node's own, whose ports are the
/// agent's alone.
extension AttackSuite {
    /// Namespaces of one pod that get a listener.
    private static let namespacesMax = 8

    var namespaces: [Attack] {
        [
            Attack("A16", .remote, "another pod's process enters the pod's network", .ownIdentity, own: stage.neighbour)
            {
                let enter = ["nsenter", "--net=\(mallory.network.path)", "--", try Attacker.program()]
                return try AttackStage.output(
                    of: await stage.neighbour.start(enter + ["connect", "plain"] + Self.metadata).result())
            },
            Attack("A16", .remote, "a process of the host enters the pod's network", .noToken) {
                let program = [try Attacker.program(), "connect", "plain"] + Self.agentPort
                return try AttackStage.output(
                    of: await Command.run(["nsenter", "--net=\(mallory.network.path)", "--"] + program))
            },
            manyNamespaces,
            Attack("A16", .namespaced, "asks in a namespace of its own", .ownIdentityOrNoToken) {
                let script = #"ip link set lo up && exec "$0" connect plain 169.254.169.254 80"#
                return try AttackStage.output(
                    of: await mallory.start(
                        Attacker.namespaced.confine(["sh", "-c", script, try Attacker.program()])
                    ).result())
            },
        ]
    }

    /// One pod makes more namespaces than it may have, and stays in all of them. The victim is well meanwhile.
    private var manyNamespaces: Attack {
        Attack(
            "A16", .namespaced, "makes 20 network namespaces and asks in each", .text("at most 8"), leastAnswers: 100
        ) {
            let pod = try await world.addPod("spread", namespace: "mallory")
            let script = """
                ip link set lo up && "$0" connect plain 169.254.169.254 80 | head -c 60
                """
            let program = try Attacker.program()
            let before = try await AgentCounters(of: stage.agent)["refused_namespace"]
            var commands: [Command] = []
            for _ in 0..<20 {
                commands.append(
                    try pod.start(["unshare", "--net", "--", "sh", "-c", script + " && exec sleep infinity", program]))
            }
            // Each has asked, and the hooks have redirected or refused it. The pod's own namespace has a listener as well.
            let deadline = ContinuousClock.now + .seconds(60)
            var (listeners, redirected) = (0, 0)
            while ContinuousClock.now < deadline {
                (listeners, redirected) = try await connections(of: pod)
                let refused = try await AgentCounters(of: stage.agent)["refused_namespace"] - before
                if listeners >= Self.namespacesMax, redirected + Int(refused) >= commands.count { break }
            }
            // Nor is one served that comes when all others are known.
            _ = await (try pod.start(["unshare", "--net", "--", "sh", "-c", script + "; true", program])).result()
            listeners = try await connections(of: pod).listeners
            for command in commands { command.signal(SIGKILL) }
            for command in commands { _ = await command.result() }
            await world.deletePod(pod)
            return (listeners <= Self.namespacesMax ? "at most 8: " : "") + "\(listeners) namespaces are served"
        }
    }

    /// The agent's listeners in a pod's namespaces, and the connections that were redirected to them or that wait for one.
    private func connections(of pod: RunningPod) async throws -> (listeners: Int, redirected: Int) {
        let dump = try JSON(parsing: await stage.agent.view("/debug/connections"))
        let pods = dump["pods"]?.array ?? []
        let own = pods.first { $0["uid"]?.string == pod.uid }
        return (own?["listeners"]?.array?.count ?? 0, Int(own?["redirected"]?.integer ?? 0))
    }

    /// R10 and A17: takes the agent's port in the node's network namespace while the agent is away, and would answer in its
    /// place.
    func bindsPort(_ address: String, _ attacker: Attacker, in pod: RunningPod?) -> Attack {
        let who =
            pod == nil
            ? "a process of the host's" : attacker == .ordinary ? "a root hostNetwork pod" : "a hostNetwork pod"
        return Attack(
            "A17", attacker, "\(who) takes the agent's port at \(address)", .text("bind: E"), victim: .refused,
            leastAnswers: 1
        ) {
            let port = "\(AgentProcess.port - 3)"
            let arguments = attacker.confine([try Attacker.program(), "bind", address, port])
            let result =
                if let pod { try await pod.start(arguments).result() } else {
                    try await Command.run(world.node.processCommand + arguments)
                }
            return try AttackStage.output(of: result)
        }
    }

    /// The attacks while the agent is dead: see ``outages``.
    var portsOfTheDead: [Attack] {
        [
            bindsPort("127.0.0.1", .unprivileged, in: stage.onHost), bindsPort("0.0.0.0", .ordinary, in: stage.onHost),
            bindsPort("::1", .ordinary, in: stage.onHost), bindsPort("127.0.0.1", .remote, in: nil),
            bindsPort("::", .remote, in: nil),
        ]
    }
}
