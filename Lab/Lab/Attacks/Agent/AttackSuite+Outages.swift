import Foundation

/// R10: the agent is away, in every way. Pods are refused, or wait a bounded while, and never reach anybody else.
extension AttackSuite {
    var outages: [Attack] {
        [
            outage("connects while the agent is stopped (SIGSTOP)", .nothing) {
                let agent = try stage.agent
                kill(agent.processIdentifier, SIGSTOP)
                defer { kill(agent.processIdentifier, SIGCONT) }
                return try await stage.got(
                    ["exchange"] + Self.metadata + [#"GET / HTTP/1.1\r\nHost: metadata.google.internal\r\n\r\n"#],
                    .unprivileged
                )
            },
            Attack("R10", .unprivileged, "the same connection once it goes on", .ownIdentity) {
                try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            },
            outage("connects while the agent is dead (SIGKILL)", .nothing) {
                try await stage.killAgent()
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            },
            outage("sends a frame while the agent is dead", .nothing) {
                try await frame.run()
            },
            outage("uses the host's socket while the agent is dead", .nothing) {
                try await passedByHost(isIPv6: false, isDatagram: false).run()
            },
        ] + portsOfTheDead + [
            outage("asks all the time while it starts, is killed and starts", .ownIdentityOrNoToken) {
                let loop = try await stage.began(
                    mallory.attack(["loop"] + Self.metadata, as: .unprivileged), "looping")
                try await stage.killAgent()
                try await stage.startAgent()
                try await stage.killAgent()
                try await stage.startAgent()
                loop.signal(SIGUSR1)
                return try AttackStage.output(of: await loop.result())
            }
        ] + halves
    }

    /// An uninstallation that was interrupted leaves some of the pins. What is left holds, and the next agent repairs
    /// it.
    private var halves: [Attack] {
        [
            ("connect4", ["connect4"]), ("the take-over", ["getpeername4", "getpeername6"]),
            ("the host guard", ["forward4", "forward6"]),
            ("egress", ["egress"]), ("all up to egress", ["connect4", "connect6", "egress"]),
        ].flatMap { name, hooks in
            [
                outage("connects without an agent and without \(name)", .nothing) {
                    try await stage.killAgent()
                    for hook in hooks { try await stage.detach(hook) }
                    return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
                },
                Attack("R10", .unprivileged, "connects when the agent has come back", .ownIdentity, victim: .refused) {
                    try await stage.startAgent()
                    return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
                },
            ]
        } + [
            outage("connects without an agent and without the maps' pins", .nothing) {
                try await stage.killAgent()
                let maps = try mapDirectory()
                for map in try FileManager.default.contentsOfDirectory(atPath: maps) {
                    try FileManager.default.removeItem(atPath: "\(maps)/\(map)")
                }
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            },
            Attack("R10", .unprivileged, "connects when the agent has come back", .ownIdentity, victim: .refused) {
                try await stage.startAgent()
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            },
        ]
    }

    /// The directory where the maps are pinned, whatever their version.
    func mapDirectory() throws -> String {
        let entries = try FileManager.default.contentsOfDirectory(atPath: world.pinDirectory)
        guard let maps = entries.first(where: { $0.hasPrefix("maps-") }) else { throw LabError("there are no maps") }
        return "\(world.pinDirectory)/\(maps)"
    }

    private func outage(
        _ attempt: String, _ expectation: Attack.Expectation, run: @escaping @Sendable () async throws -> String
    ) -> Attack {
        Attack("R10", .unprivileged, attempt, expectation, victim: .refused, leastAnswers: 1, run: run)
    }
}
