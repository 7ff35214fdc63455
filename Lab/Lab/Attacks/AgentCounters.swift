import Foundation

/// The agent's own counters, by its view `/debug/status`.
struct AgentCounters: Sendable {
    /// Kernel counters by name, request counters by dotted name.
    private(set) var values: [String: UInt64] = [:]

    /// Kernel counters of what every request does.
    private static let ordinary: Set<String> = ["redirected", "tagged"]

    /// No counter at all.
    init() {}

    /// Asks the agent.
    init(of agent: AgentProcess) async throws {
        let status = try JSON(parsing: await agent.view("/debug/status"))
        for section in ["kernel", "requests"] {
            for member in status[section]?.members ?? [] {
                values[member.name] = UInt64(member.value.integer ?? 0)
            }
        }
    }

    subscript(name: String) -> UInt64 { values[name, default: 0] }

    /// The rises since `earlier`.
    func rises(since earlier: AgentCounters) -> [String: UInt64] {
        values.compactMapValues { $0 }.filter { $0.value > earlier[$0.key] }
            .reduce(into: [:]) { $0[$1.key] = $1.value - earlier[$1.key] }
    }

    /// The rises of refusals and limits since `earlier`, in the kernel and in the metadata server.
    func limits(since earlier: AgentCounters) -> [String: UInt64] {
        rises(since: earlier).filter { name, _ in
            if name.hasPrefix("answers.") { return name.hasSuffix(".429") || name.hasSuffix(".503") }
            if name.contains(".") {
                return !name.hasPrefix("connections.opened") && !name.hasPrefix("connections.closed")
            }
            return !Self.ordinary.contains(name)
        }
    }
}
