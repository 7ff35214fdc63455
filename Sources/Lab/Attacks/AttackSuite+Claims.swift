import Foundation

/// A2, A2b: claims that are meant to be taken for somebody else's.
extension AttackSuite {
    var claims: [Attack] {
        [
            Attack("A2", .namespaced, "the victim's and the agent's address in a namespace", .nothing) {
                try await inNamespace(
                    """
                    ip link set lo up && ip addr add \(target.address)/32 dev lo && \
                    ip addr add \(LabNode.address)/32 dev lo && exec "$0" connect plain 169.254.169.254 80
                    """
                )
            },
            Attack("A2b", .namespaced, "TCP_REPAIR with the victim's address and port", .nothing) {
                let before = try await AgentCounters(of: stage.agent, world: world)
                let output = try await inNamespace(
                    """
                    ip link set lo up && ip addr add \(target.address)/32 dev lo && \
                    ip route add default dev lo src \(target.address) && \
                    exec "$0" repair \(target.address) 40000 169.254.169.254 80
                    """
                )
                let after = try await AgentCounters(of: stage.agent, world: world)
                // It was established, and the hook saw it: else this would have shown nothing.
                guard after.rises(since: before)["claim_without_packet", default: 0] > 0 else {
                    throw AttackNotMounted("no claim without a packet: \(output)")
                }
                return output
            },
            planted,
        ]
    }

    /// Hundreds of claims whose one half the attacker chooses, and whose other half the kernel makes of the victim's
    /// address and of a secret that all network namespaces share, lie in wait while the victim connects.
    private var planted: Attack {
        Attack(
            "A2b", .namespaced, "a false server answers for the victim's address", .text("at most 512"),
            leastAnswers: 200
        ) {
            let before = try await AgentCounters(of: stage.agent, world: world)
            let program = try Attacker.program()
            let script = """
                ip link set lo up && ip link add near type veth peer name far && \
                ip link set near address 02:00:00:00:00:01 && ip link set near up && ip link set far up && \
                ip addr add \(target.address)/32 dev near && \
                ip route add default dev near src \(target.address) && \
                ip neigh add \(LabNode.address) lladdr 02:00:00:00:00:02 dev near && \
                exec "$0" plant far \(target.address) 169.254.169.254 80 600 2
                """
            // What it leaves behind counts against its own pod for minutes: it knows no end but the kernel's timers.
            let pod = try await world.addPod("planter", namespace: "mallory")
            let planter = try await stage.began(
                pod.start(Attacker.namespaced.confine(["sh", "-c", script, program])), "planted")
            let claimed = try await AgentCounters(of: stage.agent, world: world).rises(since: before)
            let output = try AttackStage.output(of: await planter.result())
            guard claimed["claimed", default: 0] >= 500 else {
                throw AttackNotMounted("\(claimed["claimed", default: 0]) claims: \(output)")
            }
            guard let count = output.split(separator: " ").first.flatMap({ Int($0) }) else {
                throw AttackNotMounted(output)
            }
            return (count <= 512 + 64 ? "at most 512: " : "") + output
        }
    }

    private func inNamespace(_ script: String) async throws -> String {
        let program = try Attacker.program()
        return try AttackStage.output(
            of: await mallory.start(Attacker.namespaced.confine(["sh", "-c", script, program])).result()
        )
    }
}
