import Foundation

/// A3 and everything else that a table, a queue or a thread could run out of.
///
/// Each for long enough that the victim asks some hundred times meanwhile. What stopped the attacker is a counter.
extension AttackSuite {
    private static let leastAnswers = 200
    private static let seconds = "2"
    /// A port of the node's address: no server listens there, and a connect costs the kernel about as much.
    private static let closedPort = "8098"

    var exhaustion: [Attack] {
        [
            flood("200,000 connects from two threads", neutral: connects(to: [LabNode.address, Self.closedPort])) {
                try await connects(to: Self.metadata)()
            },
            load("2,000 connections that say nothing", "idle", 2000),
            load("500 connections that send a byte a second", "slow-write", 500),
            load("200 connections that ask 60 times and never read", "slow-read", 200),
            load("20 connections that never stop asking", "pipeline", 20),
            load("headers of 64 KiB, on 20 connections", "headers", 20),
            load("10,000 scopes, on 50 connections", "scopes", 50),
            load("10,000 audiences, on 50 connections", "audiences", 50),
            flood("5,000 cgroups, up to 1,000 deep, connecting from them", .ownIdentity, attacker: .ordinary) {
                let base = world.node.cgroupDirectory(mallory.containerCgroup)
                return try await stage.got(["nest", base, "5000"] + Self.metadata, .ordinary)
            },
        ]
    }

    private func connects(to target: [String]) -> @Sendable () async throws -> String {
        { try await stage.got(["flood"] + target + ["200000", "2"], .unprivileged) }
    }

    private func load(_ attempt: String, _ how: String, _ connections: Int) -> Attack {
        flood(attempt) {
            try await stage.got(
                ["load", how] + Self.metadata + ["\(connections)", Self.seconds], .unprivileged)
        }
    }

    private func flood(
        _ attempt: String, _ expectation: Attack.Expectation = .nothing, attacker: Attacker = .unprivileged,
        neutral: (@Sendable () async throws -> String)? = nil, run: @escaping @Sendable () async throws -> String
    ) -> Attack {
        var attack = Attack("A3", attacker, attempt, expectation, leastAnswers: Self.leastAnswers, run: run)
        attack.neutral = neutral
        return attack
    }
}
