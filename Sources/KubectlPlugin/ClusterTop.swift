package import Operations

/// The pods of all nodes by what they ask of their agents.
package struct ClusterTop: Sendable {
    private let answers: [NodeResponse<PodTop>]
    private let pods: [(node: String?, pod: PodTop.Pod)]

    package init(_ answers: [NodeResponse<PodTop>], by order: PodTop.Order) {
        self.answers = answers
        pods = answers.flatMap { answer in
            (try? answer.result.get()).map { top in top.pods.map { (answer.agent.node, $0) } } ?? []
        }.sorted { order.puts($0.pod, before: $1.pod) }
    }

    /// Asks one agent.
    ///
    /// - Parameters:
    ///   - agent: The agent.
    ///   - arguments: Those of its `debug top`, besides the form of output.
    ///   - kubectl: The way to it.
    /// - Returns: The agent's pods.
    /// - Throws: Why the agent gave none.
    package static func ask(
        _ agent: AgentPod, _ arguments: [String], _ kubectl: Kubectl
    ) async throws(PluginError) -> PodTop {
        try await agent.value(PodTop.self, ["debug", "top", "--output", "json"] + arguments, kubectl)
    }

    /// 1 if an agent did not answer.
    package var exitStatus: CInt { answers.allSatisfy { $0.failure == nil } ? 0 : 1 }

    /// The pods, at most `limit` of them, and a line for each node that did not answer.
    package func table(on terminal: Terminal, limit: Int = .max) -> String {
        let left = pods.count - min(limit, pods.count)
        let silent = answers.compactMap { answer in
            answer.failure.map { terminal.styled("node \(answer.agent.node): no answer: \($0)", .bad) + "\n" }
        }
        return PodTop.table(Array(pods.prefix(limit)), on: terminal)
            + (left > 0 ? "and \(left) more\n" : "") + silent.joined()
    }

    /// The number of lines that ``table(on:limit:)`` adds to those of the pods.
    package var otherLines: Int { 3 + answers.count { $0.failure != nil } }

    /// The nodes: `nodes`, each with `node`, `pod`, and either `answer` or `error`, as of every other command.
    package var report: Report {
        Report(
            nodes: answers.map { answer in
                Report.Node(
                    node: answer.agent.node, pod: "\(answer.agent.namespace)/\(answer.agent.name)",
                    answer: try? answer.result.get(), error: answer.failure)
            })
    }

    package struct Report: Encodable, Sendable {
        package struct Node: Encodable, Sendable {
            var node: String
            var pod: String
            var answer: PodTop?
            var error: String?
        }

        var nodes: [Node]
    }
}
