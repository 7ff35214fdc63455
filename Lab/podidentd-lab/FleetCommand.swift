import ArgumentParser
import Fleet

struct FleetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fleet",
        abstract:
            "Runs the token services of thousands of nodes against Google's quotas, in virtual time. Needs no rights.",
        discussion:
            "Prints an object of JSON for each scenario: every minute's calls, refusals, and pods without a token."
    )

    @Argument(help: "Scenarios, by name; all of them unless named.")
    var scenarios: [String] = []

    @Option(help: "Nodes. The quotas go with them: a tenth of the nodes has a tenth of the quotas.")
    var nodes = 5_000

    @Option(help: "Pods of each node.")
    var pods = 30

    @Option(help: "Decides all chance.")
    var seed: UInt64 = 1

    @Flag(help: "The agents do not learn the quota from refusals.")
    var withoutPacing = false

    @Flag(help: "The agents are told their share of the quota.")
    var withShare = false

    func validate() throws {
        guard (5...100_000).contains(nodes) else { throw ValidationError("--nodes is from 5 to 100000") }
        guard (1...500).contains(pods) else { throw ValidationError("--pods is from 1 to 500") }
        for name in scenarios where FleetScenario(rawValue: name) == nil {
            let names = FleetScenario.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("\(name) is none of \(names)")
        }
    }

    func run() throws {
        let wanted = scenarios.isEmpty ? FleetScenario.allCases : scenarios.compactMap(FleetScenario.init)
        for scenario in wanted {
            var options = FleetOptions(scenario: scenario)
            (options.nodes, options.podsPerNode, options.seed) = (nodes, pods, seed)
            options.exchangesPerMinute = options.exchangesPerMinute * nodes / 5_000
            options.impersonationsPerMinute = options.impersonationsPerMinute * nodes / 5_000
            options.tokenRequestsPerSecond = max(options.tokenRequestsPerSecond * nodes / 5_000, 1)
            options.paces = !withoutPacing
            options.knowsShare = withShare
            print(Fleet(options).run().json)
        }
    }
}
