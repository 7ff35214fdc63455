import ArgumentParser
import FoundationEssentials
import KubectlPlugin
import Linux
import Operations
import Text

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Prints every node in one table.",
        discussion: """
            READY is what the kubelet says of the agent; HOOKS and GUARDS are how many are in place; ATTRIBUTED counts \
            pods whose cgroups are known; REFUSALS counts answers of status 400 and above since the agent's start.
            """)

    @OptionGroup var cluster: ClusterOptions
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    func run() async throws {
        let lines = try await asking {
            let kubectl = try cluster.kubectl()
            return await Self.lines(try await cluster.agents(kubectl), kubectl)
        }
        Console.write(try output.text(["nodes": lines]) { NodeStatus.table(lines, on: Console.terminal) })
        throw ExitCode(NodeStatus.exitStatus(lines))
    }

    static func lines(_ agents: [AgentPod], _ kubectl: Kubectl) async -> [NodeStatus] {
        let answers = await NodeResponse<NodeStatus>.gather(agents, progress: Console.progress(of: agents.count)) {
            agent throws(PluginError) in await NodeStatus.ask(agent, kubectl)
        }
        return answers.compactMap { try? $0.result.get() }
    }
}

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Says stage by stage why a pod does or does not get its identity, and what to do.",
        discussion: """
            Finds the pod's node, and asks the agent there. The last stages are a real attempt: a token is minted and \
            dropped.
            """)

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: ArgumentHelp("NAMESPACE/POD; without NAMESPACE: default.", valueName: "pod")) var pod: String
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table

    func validate() throws {
        let parts = pod.split(separator: "/", omittingEmptySubsequences: false)
        let areNames = parts.allSatisfy { part in
            !part.isEmpty && part.first != "-"
                && part.utf8.allSatisfy { byte in
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || byte == UInt8(ascii: "-")
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: ".")
                }
        }
        guard areNames, parts.count <= 2 else { throw ValidationError("'\(pod)' is not NAMESPACE/POD") }
    }

    func run() async throws {
        let parts = pod.split(separator: "/").map(String.init)
        let (namespace, name) = parts.count == 2 ? (parts[0], parts[1]) : ("default", parts[0])
        let ended = try await asking {
            let kubectl = try cluster.kubectl()
            let node = try await AgentPod.node(of: name, namespace: namespace, kubectl)
            let agents = try await cluster.agents(kubectl, node: node)
            let arguments =
                ["debug", "explain", "\(namespace)/\(name)"] + (output == .table ? [] : ["--output", "json"])
            let ended = try await agents[0].run(arguments, kubectl)
            guard ended.status == 0 || ended.remoteStatus != nil else {
                throw PluginError("the agent of node \(node) does not answer: \(ended.complaint)")
            }
            return ended
        }
        guard ended.status == 0 || !ended.output.isEmpty else {
            Console.warn(VisibleText.lines([UInt8](ended.errors.utf8)))
            throw ExitCode.failure
        }
        let text = VisibleText.lines(ended.output)
        let tree = output == .table ? nil : try? JSONDecoder().decode(JSONTree.self, from: Data(ended.output))
        Console.write(try tree.map { tree in try output.text(tree) { text } } ?? text)
        throw ExitCode(ended.status == 0 ? 0 : 1)
    }
}

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Prints the audit lines of every node, merged by time.",
        discussion: """
            Reads them from the agents' logs, where audit.path is '-' (the default). The table has the main members of \
            each; as JSON they are the agents' own lines, one object each; docs/operate/audit.md has the schema.
            """)

    @OptionGroup var cluster: ClusterOptions
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table
    @Option(name: .long, help: ArgumentHelp("Only this node.", valueName: "name")) var node: String?
    @Option(
        name: .long, help: ArgumentHelp("Only lines of this age at most, as of kubectl logs.", valueName: "duration"))
    var since = "1h"
    @Option(name: .long, help: ArgumentHelp("At most so many lines of each node's log.", valueName: "lines"))
    var tail = 10_000

    func validate() throws {
        guard (1...1_000_000).contains(tail) else { throw ValidationError("--tail takes 1 to 1000000 lines") }
    }

    func run() async throws {
        let answers = try await asking {
            let kubectl = try cluster.kubectl()
            let agents = try await cluster.agents(kubectl, node: node)
            let options = ["--container", "podidentd", "--since", since, "--tail", "\(tail)"]
            return await NodeResponse<[UInt8]>.gather(agents, progress: Console.progress(of: agents.count)) {
                agent throws(PluginError) in
                try await kubectl.output(["logs", "--namespace", agent.namespace, agent.name] + options)
            }
        }
        Console.write(try text(AuditLines.merged(answers.compactMap { try? $0.result.get() })))
        let silent = answers.filter { $0.failure != nil }
        for answer in silent { Console.warn("node \(answer.agent.node) gave no log: \(answer.failure ?? "")") }
        if !silent.isEmpty { throw ExitCode.failure }
    }

    private func text(_ lines: [String]) throws -> String {
        // As the agents wrote them, for programs that read their logs as well.
        if output == .json { return lines.map { VisibleText.line($0) + "\n" }.joined() }
        return try output.text(["lines": AuditLines.trees(lines)]) { AuditLines.table(lines, on: Console.terminal) }
    }
}

struct BundleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bundle",
        abstract: "Writes one tar file with the debug bundle of every agent, without secrets.")

    @OptionGroup var cluster: ClusterOptions
    @Option(
        name: .shortAndLong, help: ArgumentHelp("Where to write it, mode 0600. It must not exist.", valueName: "path"))
    var file: String?

    func run() async throws {
        let path = file ?? "podidentd-cluster-\(WallClock.timestamp().filter { $0 != "-" && $0 != ":" }).tar"
        // Before anything is asked: a user who cannot write need not wait.
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            Console.warn("Error: cannot write \(path): \(errorText(errno))")
            throw ExitCode(EX_USAGE)
        }
        var isWritten = false
        defer {
            close(descriptor)
            // Nothing is left of what was not asked: the same command can be given again.
            if !isWritten { unsafe unlink(path) }
        }
        let (answers, lines) = try await asking {
            let kubectl = try cluster.kubectl()
            let agents = try await cluster.agents(kubectl)
            let answers = await NodeResponse<Kubectl.Ended>.gather(agents, progress: Console.progress(of: agents.count))
            {
                agent throws(PluginError) in try await agent.run(["debug", "bundle", "--file", "-"], kubectl)
            }
            return (answers, await StatusCommand.lines(agents, kubectl))
        }
        let bytes = ClusterBundle.archive(
            answers, status: NodeStatus.table(lines, on: .plain), modified: WallClock.seconds)
        isWritten = true
        guard StandardStream.write(bytes, to: descriptor) else {
            Console.warn("Error: \(path) is incomplete: \(errorText(errno))")
            throw ExitCode.failure
        }
        Console.write("wrote \(path), \(bytes.count) bytes, \(counted(answers.count, "node"))\n")
        if answers.contains(where: { (try? $0.result.get())?.status != 0 }) { throw ExitCode.failure }
    }
}

struct PluginVersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Prints the plugin's version.")

    func run() { print("kubectl-podidentd \(PluginVersion.current)") }
}
