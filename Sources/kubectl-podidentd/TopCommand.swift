import ArgumentParser
import KubectlPlugin
import Operations

struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Shows the pods of every node by requests, refusals, latency and tokens, live.",
        discussion: """
            Each agent counts for the interval and answers with its pods; the table has those of all nodes. On a \
            terminal it is drawn again after each interval; elsewhere each is printed below the last. Ctrl-C ends it.
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var filter: PodFilter
    @Option(name: .shortAndLong, help: OutputForm.help) var output = OutputForm.table
    @Option(name: .long, help: ArgumentHelp("Only this node.", valueName: "name")) var node: String?
    @Flag(name: .long, help: "Prints once, at once: rates and latencies since each agent's start.") var once = false
    @Option(
        name: .long,
        help: ArgumentHelp("How long the agents count, from 1 to 600; shorter than --timeout.", valueName: "seconds"))
    var interval = 5
    @Option(name: .long, help: ArgumentHelp("Ends after so many intervals.", valueName: "number")) var count: Int?
    @Option(name: .long, help: ArgumentHelp("requests, refusals, latency or tokens.", valueName: "column"))
    var sort = PodTop.Order.requests
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Shows so many pods at most; as JSON, YAML or a tree so many of each node. Default: as many as the terminal "
                + "has lines.", valueName: "number"))
    var rows: Int?

    func validate() throws {
        guard (1...600).contains(interval), interval < cluster.timeout else {
            throw ValidationError("--interval takes 1 to 600 seconds, and less than --timeout")
        }
        if let count, !(1...1_000_000).contains(count) { throw ValidationError("--count takes 1 to 1000000") }
        if let rows, !(1...10_000).contains(rows) { throw ValidationError("--rows takes 1 to 10000") }
        if once, count != nil { throw ValidationError("--once is one look: it takes no --count") }
    }

    func run() async throws {
        var left = once ? 1 : count ?? .max
        var status: CInt = 0
        while left > 0 {
            let top = try await asking { try await look() }
            try show(top)
            status = max(status, top.exitStatus)
            left -= 1
        }
        throw ExitCode(status)
    }

    /// Asks for the list of agents each time: nodes come and go.
    private func look() async throws -> ClusterTop {
        let kubectl = try cluster.kubectl()
        let agents = try await cluster.agents(kubectl, node: node)
        let period = once ? ["--once"] : ["--count", "1", "--interval", "\(interval)"]
        // The first of all are among the first of each.
        let limit = rows.map { ["--rows", "\($0)"] } ?? []
        let arguments = period + ["--sort", sort.rawValue] + limit + filter.arguments
        let progress = Console.progress(of: agents.count)
        let answers = await NodeResponse<PodTop>.gather(agents, atOnce: 16, progress: progress) {
            agent throws(PluginError) in try await ClusterTop.ask(agent, arguments, kubectl)
        }
        return ClusterTop(answers, by: sort)
    }

    private func show(_ top: ClusterTop) throws {
        let terminal = Console.terminal
        let limit = rows ?? (once ? nil : terminal.rows.map { max(1, $0 - top.otherLines) }) ?? .max
        let text = try output.text(top.report, isInSeries: !once) {
            let table = top.table(on: terminal, limit: limit)
            return terminal.isInteractive && !once ? terminal.redrawn(table) : table
        }
        Console.write(text)
    }
}

extension PodTop.Order: ExpressibleByArgument {}
