import ArgumentParser
import KubectlPlugin
import Operations

/// The pods to show, as the debug commands of the agent take it.
struct PodFilter: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("Only pods of this namespace.", valueName: "name"))
    var namespace: String?

    @Option(name: .long, help: ArgumentHelp("Only pods of this name.", valueName: "name"))
    var pod: String?

    @Option(name: .long, help: ArgumentHelp("Only the pod with this UID.", valueName: "uid"))
    var uid: String?

    var arguments: [String] {
        [("--namespace", namespace), ("--pod", pod), ("--uid", uid)].flatMap { name, value in
            value.map { [name, $0] } ?? []
        }
    }
}

/// The nodes to ask, and the form of the answer.
struct NodeOptions: ParsableArguments {
    @OptionGroup var cluster: ClusterOptions
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    /// Asks nodes with one command of the agent's program, prints what they answer, and ends the plugin.
    func ask(_ node: String?, _ arguments: [String]) async throws {
        let report = try await asking {
            let kubectl = try cluster.kubectl()
            let agents = try await cluster.agents(kubectl, node: node)
            // The agent's default is for people.
            let arguments = arguments + (output == .table ? [] : ["--output", "json"])
            return NodeReport(
                await NodeResponse<Kubectl.Ended>.gather(agents, progress: Console.progress(of: agents.count)) {
                    agent throws(PluginError) in try await agent.run(arguments, kubectl)
                })
        }
        Console.write(try output.text(report.tree) { report.text(on: Console.terminal) })
        throw ExitCode(report.exitStatus)
    }
}

/// A debug command about pods, on one node or on all.
struct PodOptions: ParsableArguments {
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var filter: PodFilter
    @Option(name: .long, help: ArgumentHelp("Only this node.", valueName: "name")) var node: String?

    func ask(_ command: String) async throws {
        try await nodes.ask(node, ["debug", command] + filter.arguments)
    }
}

struct CgroupsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cgroups", abstract: "Prints which cgroup is whose, on every node.")

    @OptionGroup var pods: PodOptions

    func run() async throws { try await pods.ask("cgroups") }
}

struct TokensCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokens", abstract: "Prints what every node's tokens are for, their age and end; never a token.")

    @OptionGroup var pods: PodOptions

    func run() async throws { try await pods.ask("tokens") }
}

struct ConnectionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connections", abstract: "Prints the open connections of pods to their agents.")

    @OptionGroup var pods: PodOptions

    func run() async throws { try await pods.ask("connections") }
}

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Reports whether nodes are protected, and able to give pods credentials.")

    @OptionGroup var nodes: NodeOptions
    @Argument(help: "The node to check.") var node: String?
    @Flag(name: .long, help: "Check every node.") var all = false
    @Flag(name: .long, help: "Also connect to the cloud's token services.") var online = false

    func validate() throws {
        guard (node == nil) == all else { throw ValidationError("name one node, or say --all") }
    }

    func run() async throws {
        try await nodes.ask(node, ["check"] + (online ? ["--online"] : []))
    }
}
