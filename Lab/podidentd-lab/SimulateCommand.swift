import ArgumentParser
import Simulation

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Runs the agent's decisions in a simulated world: the same seed, the same trace. Needs no rights.",
        discussion: "Prints a line for each seed, and ends with 1 if an invariant did not hold."
    )

    @Option(help: "The first seed.")
    var seed: UInt64 = 1

    @Option(help: "How many seeds, counted on from the first.")
    var seeds = 1

    @Option(help: "Simulated hours of each.")
    var hours = 24.0

    @Option(help: "Nodes.")
    var nodes = 1

    @Option(help: "Pods that each node runs, about.")
    var pods = 6

    @Option(help: "Seconds between two faults, about.")
    var faultPause = 600

    @Option(help: "The only faults that are injected, by name; all of them unless named.")
    var only: [String] = []

    @Option(help: "Faults that are drawn and do not happen, by name: up to the first of them all is as with it.")
    var without: [String] = []

    @Option(help: "A bug that is put in on purpose, by name.")
    var mutation: String?

    @Flag(help: "Prints every event.")
    var trace = false

    @Flag(help: "Prints an object of JSON for each seed instead.")
    var json = false

    @Flag(help: "Prints the names of faults, invariants and mutations, and ends.")
    var list = false

    func validate() throws {
        guard seeds > 0, nodes > 0, pods > 0, faultPause > 0 else { throw ValidationError("numbers must be above 0") }
        guard hours > 0, hours <= 100_000 else { throw ValidationError("--hours is above 0, and 100000 at most") }
        guard UInt64.max - seed >= UInt64(seeds) else { throw ValidationError("--seed is too large for so many seeds") }
        for name in only + without where Fault(rawValue: name) == nil { throw ValidationError("\(name) is no fault") }
        if let mutation, Mutation(rawValue: mutation) == nil { throw ValidationError("\(mutation) is no mutation") }
    }

    func run() throws {
        guard !list else {
            for fault in Fault.allCases { print("fault \(fault.rawValue)") }
            for invariant in Invariant.allCases { print("invariant \(invariant.rawValue)") }
            for mutation in Mutation.allCases { print("mutation \(mutation.rawValue)") }
            return
        }
        var hasFailed = false
        for seed in seed..<(seed + UInt64(seeds)) {
            var options = SimulationOptions(seed: seed)
            (options.hours, options.nodes, options.podsPerNode) = (hours, nodes, pods)
            options.faultPause = .seconds(faultPause)
            if !only.isEmpty { options.faults = Set(only.compactMap(Fault.init)) }
            options.leftOut = Set(without.compactMap(Fault.init))
            options.mutation = mutation.flatMap(Mutation.init)
            options.prints = trace
            let report = Simulation(options).run()
            print(json ? report.json : report.line)
            for violation in report.violations.prefix(json ? 0 : 5) { print("  \(violation.line)") }
            if !report.violations.isEmpty { hasFailed = true }
        }
        if hasFailed { throw ExitCode(1) }
    }
}
