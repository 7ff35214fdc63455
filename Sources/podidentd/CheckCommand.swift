import ArgumentParser
import Diagnostics
import FoundationEssentials
import Glibc
import Operations
import Settings

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Reports whether this node is protected, and able to give its pods credentials.",
        discussion: """
            Run it before the installation and after, as root on the node or with 'kubectl exec' in the agent's pod. What \
            the configuration does not say is asked of the running agent; what needs a key that is set nowhere is not \
            checked. It looks at the kernel, \
            the cgroups, the hooks, the node's credentials and the agent, and tries connections from a cgroup of its own \
            below kubepods, which it removes again. It never talks to the machine's own metadata server.

            Exit status: 0 healthy; 1 degraded, or not installed; 2 unsafe, when a pod can reach what it must not or the \
            agent has rights that it must not have; 64 when it was called wrongly.
            """
    )

    @OptionGroup var options: ConfigurationOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    @Flag(name: .long, help: "Also connect to Google's token services.")
    var online = false

    func run() async throws {
        let configuration = try options.load(isComplete: false)
        let posture = await PostureCheck(configuration, isOnline: online).run()
        try Screen.write(posture, as: output) { posture.text(Self.style) }
        throw ExitCode(posture.verdict.exitStatus)
    }

    /// The style: as wide as the terminal, and in colour unless the environment says no (no-color.org).
    private static var style: Posture.Style {
        let terminal = Screen.terminal
        guard terminal.isInteractive, let width = terminal.columns else { return .plain }
        return Posture.Style(width: width, hasColor: terminal.usesColor)
    }
}

/// The command that ``CheckCommand`` runs inside its cgroup.
struct ProbeFromCgroupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: ProbingProcess.command, abstract: "Part of 'podidentd check'.", shouldDisplay: false
    )

    @Option(name: .long, help: "The directory of the cgroup to enter.")
    var cgroup: String

    @Option(name: .long, help: "What to try, as JSON.")
    var probes: String

    func run() throws {
        print(try ProbingProcess.run(cgroup: cgroup, probes: probes))
    }
}
