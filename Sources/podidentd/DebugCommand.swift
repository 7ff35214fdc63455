import ArgumentParser
import Attribution
import Clouds
import Diagnostics
import FoundationEssentials
import Operations
import Settings

struct DebugCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "debug",
        abstract: "Shows what the agent of this node knows, and why.",
        discussion: """
            Asks the running agent over its Unix socket, so it must run where the agent runs: on the node, or with \
            'kubectl exec' in the agent's pod. No output holds a token.

              podidentd debug explain shop/web-1      why this pod does or does not get its identity
              podidentd debug cgroups --watch         which cgroup is whose, live
              podidentd debug top                     which pods ask most, and are refused, live
              podidentd debug tokens --namespace shop
              podidentd debug bundle --file - > bundle.tar
            """,
        subcommands: [
            DebugExplainCommand.self, DebugTopCommand.self, DebugCgroupsCommand.self, DebugConnectionsCommand.self,
            DebugTokensCommand.self, DebugStatusCommand.self, DebugBundleCommand.self,
        ]
    )
}

/// The place where the agent of this node is. Values that the command line does not give come from where the agent
/// itself takes them.
struct AgentOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "admin.socket of the agent. Default: as configured, else /run/podidentd/admin.sock.", valueName: "path"))
    var socket: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The agent's configuration file, if its socket, pins or cgroups are not where they are by default.",
            discussion: "PODIDENTD_... variables count as well.", valueName: "path"))
    var config: String?

    func location() throws -> AgentLocation {
        let values = try values()
        func value(_ key: String) -> String? {
            values[key] ?? ConfigurationKey.all.first { $0.name == key }?.defaultValue
        }
        return AgentLocation(
            socket: socket ?? value("admin.socket") ?? "", pinDirectory: value("bpf.pin-directory") ?? "",
            cgroupMountPoint: value("cgroup.mount-point"), kubepods: value("cgroup.kubepods"),
            nodeName: value("node-name") ?? "")
    }

    /// The UID of the pod that this process runs in; `nil`: it is not known.
    func podUID() throws -> PodUID? {
        guard let text = try values()["pod-uid"] else { return nil }
        guard let uid = PodUID(text) else {
            throw ConfigurationError("pod-uid: '\(text)' is not a pod's UID")
        }
        return uid
    }

    /// The values that are set in the file or the environment.
    private func values() throws -> [String: String] {
        var file: (path: String, text: String)?
        if let config { file = (config, try ConfigurationOptions.text(of: config)) }
        return try ConfigurationLoader.values(
            file: file, environment: ProcessInfo.processInfo.environment, overrides: [],
            keys: ConfigurationKey.all
        ).mapValues(\.value).filter { !$0.value.isEmpty }
    }
}

struct AgentLocation {
    var socket: String
    var pinDirectory: String
    var cgroupMountPoint: String?
    var kubepods: String?
    /// Empty: not known.
    var nodeName: String

    func fetch(_ view: String) async throws -> Data {
        Data(try await AdminClient(socketPath: socket).get(view))
    }

    func fetch<View: Decodable>(_ view: String, as type: View.Type) async throws -> View {
        try JSONDecoder().decode(type, from: try await fetch(view))
    }

    /// The view that is left without an agent.
    func kernelView() throws -> KernelView {
        try KernelView(pinDirectory: pinDirectory, cgroupMountPoint: cgroupMountPoint, kubepods: kubepods)
    }
}

/// The pods to show.
struct FilterOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Only pods of this namespace.", valueName: "name"))
    var namespace: String?

    @Option(name: .long, help: ArgumentHelp("Only pods of this name.", valueName: "name"))
    var pod: String?

    @Option(name: .long, help: ArgumentHelp("Only the pod with this UID.", valueName: "uid"))
    var uid: String?

    @Option(name: .long, help: ArgumentHelp("Only what belongs to the cgroup with this ID.", valueName: "id"))
    var cgroupID: UInt64?

    var filter: CgroupFilter { CgroupFilter(namespace: namespace, pod: pod, uid: uid, cgroupID: cgroupID) }
}

/// The place where the commands print.
enum Screen {
    static var terminal: Terminal { .standardOutput(environment: ProcessInfo.processInfo.environment) }

    /// Writes at once, whatever standard output is: a watch must not sit in a buffer.
    static func write(_ text: String) {
        StandardStream.output.write(text)
    }

    static func warn(_ text: String) {
        StandardStream.error.write(text + "\n")
    }

    static func json(_ value: some Encodable) throws -> String {
        String(decoding: try JSONOutput.bytes(of: value), as: UTF8.self) + "\n"
    }

    /// Prints `value` in any form, as a table by `table`.
    static func write(_ value: some Encodable, as form: OutputForm, table: () -> String) throws {
        write(try form.text(value, table: table))
    }
}

extension OutputForm: ExpressibleByArgument {
    static let help = ArgumentHelp("table, tree, json or yaml.", valueName: "form")

    /// `text` is another name of the table, which 'podidentd check' took first.
    package init?(argument: String) { self.init(rawValue: argument == "text" ? "table" : argument) }
}

struct DebugStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Prints the agent's hooks, counters and watch state."
    )

    @OptionGroup var agent: AgentOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    func run() async throws {
        let status = try await agent.location().fetch("/debug/status", as: JSONTree.self)
        try Screen.write(status, as: output) { status.outline }
    }
}
