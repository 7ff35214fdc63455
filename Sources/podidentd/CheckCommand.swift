import ArgumentParser
import Diagnostics
import Foundation
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

    enum Output: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    @OptionGroup var options: ConfigurationOptions

    @Option(name: .shortAndLong, help: "text or json.")
    var output = Output.text

    @Flag(name: .long, help: "Also connect to Google's token services.")
    var online = false

    func run() async throws {
        let configuration: AgentConfiguration
        do {
            configuration = try options.load(isComplete: false)
        } catch let error as ConfigurationError {
            FileHandle.standardError.write(Data("Error: \(error)\n".utf8))
            throw ExitCode(EX_USAGE)
        }
        let posture = await PostureCheck(configuration, isOnline: online).run()
        switch output {
        case .text: print(posture.text(Self.style), terminator: "")
        case .json:
            print(String(decoding: try JSONView.bytes(of: posture), as: UTF8.self))
        }
        throw ExitCode(posture.verdict.exitStatus)
    }

    /// As wide as the terminal, and in colour unless the environment says no (no-color.org).
    private static var style: Posture.Style {
        var size = winsize()
        guard isatty(STDOUT_FILENO) == 1, unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0
        else { return .plain }
        let environment = ProcessInfo.processInfo.environment
        let hasColour = environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
        return Posture.Style(width: Int(size.ws_col), hasColour: hasColour)
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
