import ArgumentParser
import Operations

struct DebugTopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Shows the pods by requests, refusals, latency and tokens, live.",
        discussion: """
            REFUSED counts answers of status 400 and above. P50 and P99 are upper bounds of the time from a request to its \
            answer, by powers of two. TOKENS are cached and can be served; FAILED are failures remembered in their \
            place; LEAST LEFT is the life of the token that ends first. Callers without an identity share one line.

            On a terminal the table is drawn again after each interval. Elsewhere each is printed below the last; as \
            JSON each is one line, as YAML a document. Ctrl-C ends it.
            """
    )

    @OptionGroup var agent: AgentOptions
    @OptionGroup var filter: FilterOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    @Flag(name: .long, help: "Prints once, at once: rates and latencies since the agent's start.")
    var once = false

    @Option(name: .long, help: ArgumentHelp("The time between two looks, from 0.1 to 3600.", valueName: "seconds"))
    var interval = 2.0

    @Option(name: .long, help: ArgumentHelp("Ends after so many intervals.", valueName: "number"))
    var count: Int?

    @Option(name: .long, help: ArgumentHelp("requests, refusals, latency or tokens.", valueName: "column"))
    var sort = PodTop.Order.requests

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Shows so many pods at most. Default: as many as the terminal has lines.", valueName: "number"))
    var rows: Int?

    func validate() throws {
        guard (0.1...3600).contains(interval) else { throw ValidationError("--interval takes 0.1 to 3600 seconds") }
        if let count, !(1...1_000_000).contains(count) { throw ValidationError("--count takes 1 to 1000000") }
        if let rows, !(1...10_000).contains(rows) { throw ValidationError("--rows takes 1 to 10000") }
        if once, count != nil { throw ValidationError("--once is one look: it takes no --count") }
        if filter.cgroupID != nil { throw ValidationError("pods are counted, not cgroups: use --uid") }
    }

    func run() async throws {
        let location = try agent.location()
        guard !once else { return try show(PodTop(try await load(location), since: nil, by: sort)) }
        var last: PodLoadDump? = try await load(location)
        if Screen.terminal.isInteractive { Screen.warn("counting for \(interval) s") }
        var left = count ?? .max
        while left > 0 {
            try await Task.sleep(for: .seconds(interval))
            do {
                let now = try await load(location)
                try show(PodTop(now, since: last, by: sort))
                last = now
            } catch let error as AdminServerError where error.isUnreachable && count == nil {
                // An agent that is being replaced comes back; one that is told to end after a count must not wait for it.
                Screen.warn("\(error)")
                last = nil
            }
            left -= 1
        }
    }

    private func load(_ location: AgentLocation) async throws -> PodLoadDump {
        try await location.fetch("/debug/pods", as: PodLoadDump.self).filtered(by: filter.filter)
    }

    private func show(_ top: PodTop) throws {
        let terminal = Screen.terminal
        // The line about the whole, the titles, and the one that says how many are left out.
        let limit = rows ?? (once ? nil : terminal.rows.map { max(1, $0 - 4) }) ?? .max
        let text = try output.text(top.first(limit), isInSeries: !once) {
            let table = top.table(on: terminal, limit: limit)
            return terminal.isInteractive && !once ? terminal.redrawn(table) : table
        }
        Screen.write(text)
    }
}

extension PodTop.Order: ExpressibleByArgument {}
