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

/// Asks nodes with one command of the agent's program and prints what they answer.
struct NodeQuestion {
    var cluster: ClusterOptions
    var node: String?
    var form: OutputForm
    var arguments: [String]

    func run() async throws {
        let report = try await asking {
            let kubectl = try cluster.kubectl()
            let agents = try await cluster.agents(kubectl, node: node)
            // The agent's default is for people.
            let arguments = arguments + (form == .table ? [] : ["--output", "json"])
            return NodeReport(
                await NodeAnswer<Kubectl.Ended>.gather(agents, progress: Console.progress(of: agents.count)) {
                    agent throws(PluginError) in try await agent.run(arguments, kubectl)
                })
        }
        if form == .table {
            Console.write(report.text(on: Console.terminal))
        } else {
            try Console.write(report.tree, as: form)
        }
        throw ExitCode(report.exitStatus)
    }
}

struct CgroupsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cgroups", abstract: "Prints which cgroup is whose, on every node.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var filter: PodFilter
    @Option(name: .long, help: ArgumentHelp("Only this node.", valueName: "name")) var node: String?
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    func run() async throws {
        try await NodeQuestion(
            cluster: cluster, node: node, form: output, arguments: ["debug", "cgroups"] + filter.arguments
        ).run()
    }
}

struct TokensCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokens", abstract: "Prints what every node's tokens are for, their age and end; never a token.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var filter: PodFilter
    @Option(name: .long, help: ArgumentHelp("Only this node.", valueName: "name")) var node: String?
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    func run() async throws {
        try await NodeQuestion(
            cluster: cluster, node: node, form: output, arguments: ["debug", "tokens"] + filter.arguments
        ).run()
    }
}

struct ConnectionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connections", abstract: "Prints the open connections of pods to their agents.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var filter: PodFilter
    @Option(name: .long, help: ArgumentHelp("Only this node.", valueName: "name")) var node: String?
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    func run() async throws {
        try await NodeQuestion(
            cluster: cluster, node: node, form: output, arguments: ["debug", "connections"] + filter.arguments
        ).run()
    }
}

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Reports whether nodes are protected, and able to give pods credentials.")

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: "The node to check.") var node: String?
    @Flag(name: .long, help: "Check every node.") var all = false
    @Flag(name: .long, help: "Also connect to the cloud's token services.") var online = false
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    func validate() throws {
        guard (node == nil) == all else { throw ValidationError("name one node, or say --all") }
    }

    func run() async throws {
        try await NodeQuestion(
            cluster: cluster, node: node, form: output, arguments: ["check"] + (online ? ["--online"] : [])
        ).run()
    }
}
