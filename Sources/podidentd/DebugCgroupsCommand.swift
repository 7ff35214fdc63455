import ArgumentParser
import Diagnostics
import Operations

struct DebugCgroupsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cgroups",
        abstract: "Prints the live map from cgroups to pods.",
        discussion: """
            When no agent answers, the map is read from the kernel: pinned maps and the cgroup file system. Pods then \
            have UIDs, but no names, and the output says so.
            """
    )

    @OptionGroup var agent: AgentOptions
    @OptionGroup var filter: FilterOptions

    @Option(name: .shortAndLong, help: OutputForm.help)
    var output = OutputForm.table

    @Flag(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Follows the map until it is stopped.",
            discussion: """
                On a terminal the map is drawn again when it changes. Elsewhere each change is a line: + for a cgroup \
                that came, - for one that went, ~ for one whose pod changed; as JSON, each new map is one line, as YAML a document.
                """))
    var watch = false

    @Option(name: .long, help: ArgumentHelp("How often --watch looks.", valueName: "seconds"))
    var interval = 1.0

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("--interval takes 0.1 to 3600 seconds")
        }
    }

    func run() async throws {
        let location = try agent.location()
        guard watch else {
            let view = try await load(location)
            if let notice = view.notice { Screen.warn(notice) }
            return Screen.write(try text(of: view, on: Screen.terminal))
        }
        var last: View?
        while true {
            let view = try await load(location)
            if view != last {
                let terminal = Screen.terminal
                if terminal.isInteractive { try redraw(view, on: terminal) } else { try append(view, after: last) }
                last = view
            }
            try await Task.sleep(for: .seconds(interval))
        }
    }

    private struct View: Equatable {
        /// Everything, and what the filter leaves of it.
        var dump: CgroupDump
        var shown: CgroupDump
        /// Why the kernel had to be asked.
        var notice: String?
    }

    private func load(_ location: AgentLocation) async throws -> View {
        do {
            let dump = try await location.fetch("/debug/cgroups", as: CgroupDump.self)
            return View(dump: dump, shown: dump.filtered(by: filter.filter))
        } catch let error as AdminServerError where error.isUnreachable {
            guard !filter.filter.needsNames else {
                throw AgentNeeded(error, "pods have no names without it; filter by --uid or --cgroup-id instead")
            }
            let kernel = try location.kernelView()
            let hint = hint(kernel, location)
            // Nothing would ever change what is shown.
            guard !watch || kernel.isInstalled || kernel.holder != nil else {
                throw AgentNeeded(error, "There is nothing to watch: \(hint).")
            }
            let dump = kernel.cgroupDump(node: location.nodeName)
            return View(
                dump: dump, shown: dump.filtered(by: filter.filter),
                notice: "\(error)\nThis is what the kernel knows: pods by UID, unconfirmed; \(hint).")
        }
    }

    /// The sentence that says what the agent's silence means to pods.
    private func hint(_ kernel: KernelView, _ location: AgentLocation) -> String {
        if let holder = kernel.holder {
            return "an agent runs (PID \(holder)) and may serve pods: name its admin.socket by --socket"
        }
        return kernel.isInstalled
            ? "its hooks are in place: pods are refused until it runs"
            : "nothing is pinned at \(location.pinDirectory): podidentd is not installed on this node"
    }

    private func text(of view: View, on terminal: Terminal, isInSeries: Bool = false) throws -> String {
        func summary() -> String { view.dump.summary(shown: view.shown.rows.count) + "\n" }
        if output == .tree { return summary() + view.shown.tree(on: terminal) }
        return try output.text(view.shown, isInSeries: isInSeries) { summary() + view.shown.table(on: terminal) }
    }

    private func redraw(_ view: View, on terminal: Terminal) throws {
        let notice = view.notice.map { terminal.styled($0, .warning) + "\n\n" } ?? ""
        Screen.write(terminal.redrawn(notice + (try text(of: view, on: terminal))))
    }

    private func append(_ view: View, after last: View?) throws {
        if let notice = view.notice, notice != last?.notice { Screen.warn(notice) }
        guard let last, output == .table || output == .tree else {
            return Screen.write(try text(of: view, on: .plain, isInSeries: true))
        }
        for change in view.shown.changes(since: last.shown) {
            Screen.write("\(WallClock.timestamp()) \(change)\n")
        }
    }
}

/// The operator asked for what only a running agent knows, and none runs.
struct AgentNeeded: Error, CustomStringConvertible {
    let description: String

    init(_ error: AdminServerError, _ advice: String) {
        description = "\(error)\n\(advice)"
    }
}
