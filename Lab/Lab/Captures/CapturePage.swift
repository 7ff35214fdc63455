import Foundation

/// A page of commands and what they print, as it grows.
struct CapturePage {
    let world: LabWorld
    let agent: AgentProcess
    private(set) var text: String
    private var normalizer = CaptureNormalizer()

    init(world: LabWorld, agent: AgentProcess, text: String) {
        self.world = world
        self.agent = agent
        self.text = text
    }

    /// Adds `words` and a command of podidentd's, with what it prints on both of its outputs.
    mutating func show(_ arguments: String, _ words: String) async throws {
        let result = try await Command.run(
            ["nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd"]
                + arguments.split(separator: " ").map(String.init) + ["--config", agent.configurationPath])
        text += "\n\(words)\n"
        add("podidentd \(arguments)", result)
    }

    /// Adds any command, run as it is.
    mutating func showOther(_ arguments: [String]) async throws {
        add(arguments.joined(separator: " "), try await Command.run(arguments))
    }

    private mutating func add(_ command: String, _ result: CommandResult) {
        let directory = world.node.directory
        let output = (result.errorOutput + result.output).replacing(directory + "/bundle", with: "/tmp/bundle")
            .replacing(directory + "/", with: "/run/podidentd/")
        text += "\n```console\n$ \(command.replacing(directory, with: "/tmp"))\n\(normalizer.normalize(output))"
        if result.status != 0 { text += "(status \(result.status))\n" }
        text += "```\n"
    }
}
