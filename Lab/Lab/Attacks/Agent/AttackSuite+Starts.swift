import Foundation

/// R20, R22 and D8: the node boots, or other processes have the agent's ports when it starts.
extension AttackSuite {
    var starts: [Attack] {
        [
            Attack("D8", .remote, "listens on the metrics' port beside the agent (SO_REUSEPORT)", .text("refused")) {
                // With SO_REUSEPORT, as every listener of the lab.
                guard let socket = try? world.node.network.listen(host: "127.0.0.1", port: 9255) else {
                    return "refused"
                }
                close(socket)
                return "shared"
            },
            absence("R22", "hostNetwork pod connects while others hold the agent's ports at its first start", .nothing)
            {
                try await heldPort()
            },
            Attack(
                "R22", .unprivileged, "connects once the ports are free", .ownIdentity, own: stage.onHost,
                victim: .refused
            ) {
                try await stage.startAgent()
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: stage.onHost)
            },
        ] + (world.node.layout.depth > 0 ? [] : boots)
    }

    /// A node in a cgroup namespace (kind) is a container: the machine boots, and its nodes with it.
    private var boots: [Attack] {
        [
            absence("R20", "connects while the node boots, before the agent (with the boot guard)", .nothing) {
                try await victim.whilePaused {
                    let node = RebootingNode(world)
                    try await stage.killAgent()
                    try await node.installGuard()
                    try await node.reboot([])
                    try await node.loadUnit()
                }
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            },
            absence("R20", "the same from a pod with the host's network", .nothing) {
                try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: stage.onHost)
            },
            Attack("R20", .unprivileged, "connects when the agent has come", .ownIdentity, victim: .refused) {
                try await stage.startAgent()
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            },
        ]
    }

    /// Starts an agent on a node without hooks, where every port that it could take is held, and connects.
    private func heldPort() async throws -> String {
        let (holders, agent) = try await victim.whilePaused {
            try await stage.killAgent()
            try await Command.require(world.uninstallCommand)
            let holders = try (AgentProcess.port - 7...AgentProcess.port).map {
                try world.node.network.listen(host: "127.0.0.1", port: $0)
            }
            let agent = try world.launchAgent()
            try await agent.log.first { $0.contains("no listener in the node's network namespace") }
            return (holders, agent)
        }
        defer { for holder in holders { close(holder) } }
        let output = try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: stage.onHost)
        await agent.kill()
        var polled = holders.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        return unsafe poll(&polled, nfds_t(polled.count), 0) == 0
            ? output : "answered by the process that holds the port"
    }

    private func absence(
        _ number: String, _ attempt: String, _ expectation: Attack.Expectation,
        run: @escaping @Sendable () async throws -> String
    ) -> Attack {
        Attack(number, .unprivileged, attempt, expectation, victim: .refused, leastAnswers: 1, run: run)
    }
}
