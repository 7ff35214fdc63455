import ArgumentParser
import Attribution
import Diagnostics
import Operations

struct DebugConnectionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connections",
        abstract: "Prints the open connections of each pod to the agent.",
        discussion: """
            OPEN is what the agent holds, IN KERNEL what the hooks count: from a pod's SYN until the agent has closed \
            its end. When no agent answers, only the latter is shown.
            """
    )

    @OptionGroup var agent: AgentOptions
    @OptionGroup var filter: FilterOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    func run() async throws {
        let location = try agent.location()
        let dump = try await load(location).filtered(by: filter.filter)
        try Screen.write(dump, as: output) { dump.table(on: Screen.terminal) }
    }

    private func load(_ location: AgentLocation) async throws -> ConnectionDump {
        do {
            return try await location.fetch("/debug/connections", as: ConnectionDump.self)
        } catch let error as AdminServerError where error.isUnreachable {
            guard !filter.filter.needsNames else {
                throw AgentNeeded(error, "pods have no names without it; filter by --uid instead")
            }
            Screen.warn("\(error)\nThis is what the kernel counts: pods by UID, unconfirmed.")
            return try location.kernelView().connectionDump(node: location.nodeName)
        }
    }
}

struct DebugTokensCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokens",
        abstract: "Prints what each pod's cached tokens are for, their age and end, and the last failure.",
        discussion: "Never a token, nor a part of one. Tokens exist in the agent's memory alone."
    )

    @OptionGroup var agent: AgentOptions
    @OptionGroup var filter: FilterOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    func validate() throws {
        if filter.cgroupID != nil { throw ValidationError("tokens belong to pods, not to cgroups: use --uid") }
    }

    func run() async throws {
        let dump = try await agent.location().fetch("/debug/tokens", as: TokenDump.self).filtered(by: filter.filter)
        try Screen.write(dump, as: output) { dump.table(on: Screen.terminal) }
    }
}

struct DebugExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Says stage by stage why a pod does or does not get its identity, and what to do.",
        discussion: """
            The last stages are a real attempt: a token is minted past every cache and dropped, and its audit line is \
            written. The status is 1 if the pod gets no identity.
            """
    )

    @Argument(help: ArgumentHelp("NAMESPACE/NAME, a UID, or a name that one pod of this node has.", valueName: "pod"))
    var pod: String

    @OptionGroup var agent: AgentOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    func validate() throws {
        let parts = pod.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts.allSatisfy(\.isDNSSubdomain) else {
            throw ValidationError("'\(pod)' is neither NAMESPACE/NAME nor a pod's name or UID")
        }
    }

    func run() async throws {
        let explanation = try await agent.location().fetch("/debug/explain?\(pod)", as: Explanation.self)
        try Screen.write(explanation, as: output) { explanation.text(on: Screen.terminal) }
        if explanation.cause != nil { throw ExitCode.failure }
    }
}
