import AgentTesting
import Foundation
import Lab
import Operations
import Testing
import YAML

/// Every command that shows something has the same forms of output.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct OutputFormTests {
    private static let commands = [
        ["debug", "status"], ["debug", "cgroups"], ["debug", "connections"], ["debug", "tokens"],
        ["debug", "top", "--once"],
        ["debug", "explain", "default/a"], ["check"],
    ]

    @Test("every command prints a table, a tree, JSON and YAML, the latter two say the same, and the table unasked")
    func forms() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            for command in Self.commands {
                func output(_ form: String?) async throws -> String {
                    let result = try await Command.run(
                        ["nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd"] + command
                            + (form.map { ["--output", $0] } ?? []) + ["--config", agent.configurationPath])
                    #expect(result.succeeded, "\(command) as \(form ?? "unasked"): \(result.errorOutput)")
                    #expect(!result.output.contains("\u{1b}"), "a pipe wants no colours")
                    return result.output
                }
                let json = try JSONDecoder().decode(JSONTree.self, from: Data(try await output("json").utf8))
                let yaml = try #require(try YAML.read(try await output("yaml"))?.mapping, "\(command)")
                guard case .object(let members) = json else {
                    Issue.record("\(command) prints no object")
                    continue
                }
                #expect(Set(yaml.entries.map(\.key)) == Set(members.keys), "\(command)")
                #expect(try await output("tree").contains("└─ "), "\(command)")
                for form in ["table", nil] { #expect(try await !output(form).hasPrefix("{"), "\(command)") }
            }
        }
    }
}
