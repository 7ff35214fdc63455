import ArgumentParser
import FoundationEssentials
import KubectlPlugin
import Operations

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The cluster to ask, and the way to it.
struct ClusterOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("As of kubectl.", valueName: "path"))
    var kubeconfig: String?

    @Option(name: .long, help: ArgumentHelp("As of kubectl: the context of the kubeconfig.", valueName: "name"))
    var context: String?

    @Option(name: .long, help: ArgumentHelp("As of kubectl: the user to act as.", valueName: "user"))
    var `as`: String?

    @Option(name: .long, help: ArgumentHelp("Where the agents run.", valueName: "name"))
    var agentNamespace = "podidentd"

    @Option(
        name: .long, help: ArgumentHelp("How long one agent may take to answer, from 1 to 600.", valueName: "seconds"))
    var timeout = 30

    func validate() throws {
        guard (1...600).contains(timeout) else { throw ValidationError("--timeout takes 1 to 600 seconds") }
    }

    func kubectl() throws -> Kubectl {
        var options: [String] = []
        for (name, value) in [("kubeconfig", kubeconfig), ("context", context), ("as", `as`)] {
            if let value { options.append("--\(name)=\(value)") }
        }
        return try Kubectl(
            options: options, environment: ProcessInfo.processInfo.environment, limit: .seconds(timeout))
    }

    /// The agents, or those of one node.
    func agents(_ kubectl: Kubectl, node: String? = nil) async throws -> [AgentPod] {
        let all = try await AgentPod.all(kubectl, namespace: agentNamespace)
        guard let node else { return all }
        guard let agent = all.first(where: { $0.node == node }) else {
            throw PluginError("no agent runs on node \(node); agents run on \(all.map(\.node).joined(separator: ", "))")
        }
        return [agent]
    }
}

extension OutputForm: ExpressibleByArgument {
    static let help = ArgumentHelp("table, tree, json or yaml.", valueName: "form")
}

/// Standard output and standard error.
enum Console {
    static var terminal: Terminal { .standardOutput(environment: ProcessInfo.processInfo.environment) }

    static func write(_ text: String) { StandardStream.output.write(text) }

    static func warn(_ text: String) { StandardStream.error.write(text + "\n") }

    /// Says on a terminal how far a long wait is; nothing elsewhere.
    static func progress(of count: Int) -> @Sendable (Int) -> Void {
        guard Terminal.isErrorInteractive, count > 1 else { return { _ in } }
        return { answered in
            let end = answered == count ? "\r\u{1b}[K" : ""
            StandardStream.error.write("\r\(answered) of \(count) nodes have answered\(end)")
        }
    }
}

/// Ends the command with the status for a cluster that could not be asked.
func asking<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch let error as PluginError {
        Console.warn("Error: \(error)")
        throw ExitCode(EX_UNAVAILABLE)
    }
}
