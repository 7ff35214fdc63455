import ArgumentParser
import Settings

/// The command line; ``Main`` starts it.
struct Podidentd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "podidentd",
        abstract: "Gives each pod of this Kubernetes node its own cloud credentials, and never those of another pod.",
        discussion: """
            Answers pods' requests to the metadata addresses, such as 169.254.169.254, as the configured clouds do: \
            Google, AWS, Azure. With 'spiffe.trust-domain' it gives pods SPIFFE identities as well: X.509-SVIDs and JWT-SVIDs \
            by the Workload API, and Envoy's secrets.
            """,
        version: AgentVersion.current,
        subcommands: [
            RunCommand.self, ReadyCommand.self, LiveCommand.self, CheckCommand.self, DebugCommand.self,
            ConfigCommand.self, GuardCommand.self, UninstallCommand.self, VersionCommand.self,
            ProbeFromCgroupCommand.self,
        ]
    )

    /// The sentence for a debug command that is called without `debug`; `nil` for every other command line.
    static func hint(for arguments: some Collection<String>) -> String? {
        guard let name = arguments.first,
            DebugCommand.configuration.subcommands.contains(where: { $0.configuration.commandName == name })
        else { return nil }
        return "Error: '\(name)' is one of the debug commands: podidentd debug \(arguments.joined(separator: " "))"
    }
}
