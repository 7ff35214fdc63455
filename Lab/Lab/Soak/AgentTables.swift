import Foundation

/// How full the agent's tables are, by its view `/debug/status`.
package struct AgentTables: Codable, Sendable, Equatable {
    package var pods: Int
    package var cgroups: Int
    package var connectionCounts: Int
    package var policies: Int
    package var tokenEntries: Int
    package var namespaces: Int
    /// The open connections; none between requests.
    package var connections: Int

    /// Asks `agent`.
    static func read(from agent: AgentProcess) async throws -> AgentTables {
        try JSONDecoder().decode(AgentTables.self, from: await agent.view("/debug/status"))
    }

    /// Whether nothing is under way, and nothing is left of a load that began with `before`.
    ///
    /// There may be fewer tokens: those that were steps on the way to others end unused.
    package func isEmptied(to before: AgentTables) -> Bool {
        namespaces == before.namespaces && connections == 0 && pods == before.pods && cgroups == before.cgroups
            && connectionCounts == before.connectionCounts && policies == before.policies
            && tokenEntries <= before.tokenEntries
    }

    /// Asks until nothing is left of the load, for at most a minute, and returns the last answer.
    static func settled(_ agent: AgentProcess, to before: AgentTables) async throws -> AgentTables {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let tables = try await read(from: agent)
            if tables.isEmptied(to: before) || ContinuousClock.now >= deadline { return tables }
        }
    }
}
