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
            absence("R22", "connects while another process holds the agent's port at its first start", .nothing) {
                try await heldPort()
            },
            Attack("R22", .unprivileged, "connects once the port is free", .ownIdentity, victim: .refused) {
                try await stage.startAgent()
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
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

    /// Starts an agent on a node without hooks, whose port is held, and connects.
    private func heldPort() async throws -> String {
        let (holder, agent) = try await victim.whilePaused {
            try await stage.killAgent()
            try await Command.require(world.uninstallCommand)
            let holder = try world.node.network.listen(host: LabNode.address, port: AgentProcess.port)
            let agent = try world.launchAgent()
            try await agent.log.first { $0.contains("port held: pods are refused") }
            return (holder, agent)
        }
        defer { close(holder) }
        let output = try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
        await agent.kill()
        var polled = pollfd(fd: holder, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, 0) == 0 ? output : "answered by the process that holds the port"
    }

    private func absence(
        _ number: String, _ attempt: String, _ expectation: Attack.Expectation,
        run: @escaping @Sendable () async throws -> String
    ) -> Attack {
        Attack(number, .unprivileged, attempt, expectation, victim: .refused, leastAnswers: 1, run: run)
    }
}
