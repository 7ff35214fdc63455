import AgentTesting
import Foundation
import Lab
import Operations
import Testing
import YAML

/// Every command that shows something has the same forms of output.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct OutputFormTests {
    /// The words that a command needs after its name to end, and to find something.
    private static let arguments = [["debug", "top"]: ["--once"], ["debug", "explain"]: ["default/a"]]

    @Test("every command prints a table, a tree, JSON and YAML, the latter two say the same, and the table unasked")
    func forms() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            let commands = try await ProgramCommand.all(of: "podidentd").filter(\.hasForms).map(\.path)
            #expect(commands.count > 6)
            for path in commands {
                let command = path + (Self.arguments[path] ?? [])
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

    @Test("the debug commands and those of the plugin have the forms, but for the ones that the pages name")
    func exceptions() async throws {
        let agent = try await ProgramCommand.all(of: "podidentd").filter { ["debug", "check"].contains($0.path[0]) }
        #expect(agent.filter { !$0.hasForms }.map(\.path) == [["debug", "bundle"]])
        let plugin = try await ProgramCommand.all(of: "kubectl-podidentd")
        #expect(plugin.filter { !$0.hasForms }.map(\.path) == [["bundle"], ["version"]])
        let sentences = [
            "docs/operate/debug.md": "Every command but `bundle` takes `--output table`, `tree`, `json` or `yaml`.",
            "docs/operate/operations.md": "`check` and every `debug` command but `bundle` print `--output table`, ",
            "docs/operate/kubectl.md": "Every command but `bundle` and `version` takes `--output table`, ",
        ]
        for (path, sentence) in sentences { #expect(try repositoryFile(path).contains(sentence), "\(path)") }
    }

    @Test("every command of the plugin takes the four forms, and no other")
    func plugin() async throws {
        let program = try Binaries.directory() + "/kubectl-podidentd"
        let arguments = [["check"]: ["--all"], ["explain"]: ["shop/web-1"], ["top"]: ["--once"]]
        for command in try await ProgramCommand.all(of: "kubectl-podidentd").filter(\.hasForms) {
            let words = command.path + (arguments[command.path] ?? [])
            for form in OutputForm.allCases.map(\.rawValue) + ["xml"] {
                // Without kubectl none gets further than its command line.
                let result = try await Command.run(["env", "-i", program] + words + ["--output", form])
                #expect(result.status == (form == "xml" ? 64 : 69), "\(words) \(form): \(result.errorOutput)")
            }
        }
    }
}
