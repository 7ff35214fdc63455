import FoundationEssentials
package import Operations
import Text

/// The answer of one node's agent, or why there is none.
package struct NodeResponse<Value: Sendable>: Sendable {
    package var agent: AgentPod
    package var result: Result<Value, PluginError>

    /// Asks every agent, a few at a time.
    /// - Parameters:
    ///   - agents: The agents to ask.
    ///   - atOnce: How many are asked at a time; each takes a process of kubectl.
    ///   - progress: Called with how many have answered.
    ///   - ask: Asks one agent.
    /// - Returns: The answers in the order of the agents.
    package static func gather(
        _ agents: [AgentPod], atOnce: Int = 8, progress: @Sendable (Int) -> Void,
        _ ask: @escaping @Sendable (AgentPod) async throws(PluginError) -> Value
    ) async -> [NodeResponse] {
        await withTaskGroup(of: (Int, NodeResponse).self) { group in
            var answers: [NodeResponse?] = Array(repeating: nil, count: agents.count)
            var next = agents.indices.makeIterator()
            func start() {
                guard let index = next.next() else { return }
                let agent = agents[index]
                group.addTask {
                    do throws(PluginError) {
                        return (index, NodeResponse(agent: agent, result: .success(try await ask(agent))))
                    } catch {
                        return (index, NodeResponse(agent: agent, result: .failure(error)))
                    }
                }
            }
            for _ in 0..<atOnce { start() }
            var count = 0
            for await (index, answer) in group {
                answers[index] = answer
                count += 1
                progress(count)
                start()
            }
            return answers.compactMap(\.self)
        }
    }

    /// Why the node's agent did not answer.
    package var failure: String? {
        guard case .failure(let error) = result else { return nil }
        return error.description
    }
}

/// A debug command's output on every node.
package struct NodeReport: Sendable {
    private var answers: [NodeResponse<Kubectl.Ended>]

    package init(_ answers: [NodeResponse<Kubectl.Ended>]) {
        self.answers = answers.map { answer in
            guard case .success(let ended) = answer.result, ended.status != 0, ended.remoteStatus == nil else {
                return answer
            }
            return NodeResponse(agent: answer.agent, result: .failure(PluginError(ended.complaint)))
        }
    }

    /// The worst status of all: 2 is the program's own for what is unsafe. A node that did not answer, or a program that
    /// ended in another way, counts as 1.
    package var exitStatus: CInt {
        answers.map { answer in
            guard case .success(let ended) = answer.result else { return 1 }
            return ended.status == 0 || ended.status == 2 ? ended.status : 1
        }.max() ?? 0
    }

    /// The nodes' own texts, each below a line that names its node.
    package func text(on terminal: Terminal) -> String {
        answers.map { answer in
            let heading =
                terminal.styled("NODE \(answer.agent.node)", .strong)
                + " (\(answer.agent.namespace)/\(answer.agent.name))\n"
            switch answer.result {
            case .success(let ended) where ended.output.isEmpty && ended.status != 0:
                return heading + terminal.styled("failed: \(ended.complaint)", .bad) + "\n"
            case .success(let ended): return heading + VisibleText.lines(ended.output)
            case .failure(let error): return heading + terminal.styled("no answer: \(error)", .bad) + "\n"
            }
        }.joined(separator: "\n")
    }

    /// The nodes' JSON: `nodes`, each with `node`, `pod`, and either `answer` or `error`.
    package var tree: JSONTree {
        .object([
            "nodes": .list(
                answers.map { answer in
                    var members: [String: JSONTree] = [
                        "node": .text(answer.agent.node),
                        "pod": .text("\(answer.agent.namespace)/\(answer.agent.name)"),
                    ]
                    switch answer.result {
                    case .success(let ended):
                        members["status"] = .integer(Int64(ended.status))
                        if let value = try? JSONDecoder().decode(JSONTree.self, from: Data(ended.output)) {
                            members["answer"] = value
                        } else {
                            members["error"] = .text(ended.complaint)
                        }
                    case .failure(let error): members["error"] = .text(error.description)
                    }
                    return .object(members)
                })
        ])
    }
}
