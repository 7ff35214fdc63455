import FoundationEssentials
package import Operations

/// One line of `kubectl podidentd status`.
package struct NodeStatus: Codable, Sendable, Equatable {
    /// How many of a section's items are well.
    package struct Share: Codable, Sendable, Equatable {
        package var ok: Int
        package var all: Int
    }

    package var node: String
    package var pod: String
    package var isReady: Bool
    /// `nil`, and all of the following: the agent did not answer.
    package var version: String?
    package var verdict: Posture.Verdict?
    package var hooks: Share?
    package var guards: Share?
    package var pods: Int?
    /// Pods of which a cgroup is attributed.
    package var attributedPods: Int?
    /// Requests answered with a status of 400 or more since the agent's start.
    package var refusals: UInt64?
    /// The age of the oldest token that the agent holds; `nil`: it holds none.
    package var oldestTokenSeconds: Int?
    package var error: String?

    /// Asks one agent for all of it.
    package static func ask(_ agent: AgentPod, _ kubectl: Kubectl) async -> NodeStatus {
        var line = NodeStatus(node: agent.node, pod: "\(agent.namespace)/\(agent.name)", isReady: agent.isReady)
        do throws(PluginError) {
            let status = try await agent.value(AgentStatus.self, ["debug", "status", "--output", "json"], kubectl)
            let cgroups = try await agent.value(CgroupDump.self, ["debug", "cgroups", "--output", "json"], kubectl)
            let tokens = try await agent.value(TokenDump.self, ["debug", "tokens", "--output", "json"], kubectl)
            let posture = try await agent.value(Posture.self, ["check", "--output", "json"], kubectl)
            line.version = status.version
            line.pods = status.pods
            line.refusals = status.requests.filter { Self.isRefusal($0.key) }.values.reduce(0, &+)
            line.attributedPods = Set(cgroups.rows.filter { $0.state == .attributed }.map(\.uid)).count
            line.oldestTokenSeconds = tokens.entries.compactMap(\.ageSeconds).max()
            line.verdict = posture.verdict
            line.hooks = posture.share(of: "Hooks")
            line.guards = posture.share(of: "Guards")
        } catch {
            line.error = error.description
        }
        return line
    }

    private init(node: String, pod: String, isReady: Bool) {
        self.node = node
        self.pod = pod
        self.isReady = isReady
    }

    /// Whether a counter is one of answers of status 400 or more: `answers.ROUTE.STATUS`.
    private static func isRefusal(_ counter: String) -> Bool {
        let parts = counter.split(separator: ".")
        return parts.count == 3 && parts[0] == "answers" && (Int(parts[2]) ?? 0) >= 400
    }

    /// 0: all are well; 1: one is degraded, not ready or does not answer; 2: one is unsafe.
    package static func exitStatus(_ lines: [NodeStatus]) -> CInt {
        if lines.contains(where: { $0.verdict == .unsafe }) { return 2 }
        return lines.allSatisfy { $0.isReady && $0.verdict == .healthy } ? 0 : 1
    }

    package static func table(_ lines: [NodeStatus], on terminal: Terminal) -> String {
        var table = TextTable(columns: [
            "NODE", "VERSION", "READY", "VERDICT", "HOOKS", "GUARDS", "PODS", "ATTRIBUTED", "REFUSALS", "OLDEST TOKEN",
            TextTable.Column("PROBLEM", fit: .end),
        ])
        for line in lines {
            func share(_ share: Share?) -> String { share.map { "\($0.ok)/\($0.all)" } ?? "-" }
            func number(_ value: (some BinaryInteger)?) -> String { value.map { "\($0)" } ?? "-" }
            table.append(
                [
                    line.node, line.version ?? "-", line.isReady ? "yes" : "no", line.verdict?.rawValue ?? "unknown",
                    share(line.hooks), share(line.guards), number(line.pods), number(line.attributedPods),
                    number(line.refusals), line.oldestTokenSeconds.map(DurationText.short) ?? "-", line.error ?? "-",
                ],
                styles: [2: line.isReady ? .good : .bad, 3: line.verdict == .healthy ? .good : .bad])
        }
        return table.text(on: terminal)
    }
}

extension Posture {
    fileprivate func share(of title: String) -> NodeStatus.Share {
        let states = sections.filter { $0.title == title }.flatMap(\.items).map(\.state)
        return NodeStatus.Share(ok: states.count { $0 == .ok }, all: states.count { $0 != .untried })
    }
}

extension AgentPod {
    /// The value that a command of the agent's program prints as JSON. `check` ends with another status than 0 where it finds
    /// something, and prints all the same.
    func value<Value: Decodable>(
        _ type: Value.Type, _ arguments: [String], _ kubectl: Kubectl
    ) async throws(PluginError) -> Value {
        let ended = try await run(arguments, kubectl)
        guard ended.status == 0 || ended.remoteStatus != nil else { throw PluginError(ended.complaint) }
        guard let value = try? JSONDecoder().decode(type, from: Data(ended.output)) else {
            throw PluginError("'podidentd \(arguments.joined(separator: " "))' failed: \(ended.complaint)")
        }
        return value
    }
}
