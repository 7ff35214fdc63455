import ArgumentParser
import Lab

struct AttackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attack",
        abstract: "Attacks a running agent in every known way, and prints what each attack got. Needs root."
    )

    @Flag(help: "Switches off one guard after another instead, and shows that attacks get through without it.")
    var guardsOff = false

    @Option(help: "Makes only attacks with this number, or with this in their description.")
    var only = ""

    @OptionGroup
    var layout: LayoutOption

    func run() async throws {
        let isGood = try await LabWorld.with(keys: try LabCluster.Keys(), layout: layout.layout) { world in
            try await guardsOff ? Self.withoutGuards(world) : withGuards(world)
        }
        if !isGood { throw ExitCode.failure }
    }

    private func withGuards(_ world: LabWorld) async throws -> Bool {
        print(AttackReport.header)
        let reports = try await AttackSuite.run(in: world, only: only) { print($0.line) }
        print("\nLimits that were hit")
        for line in AttackReport.limits(reports) { print(line) }
        let bad = reports.filter { !$0.verdict.isAcceptable }
        let open = reports.count { if case .open = $0.verdict { true } else { false } }
        print(
            "\n\(reports.count - bad.count - open) held, \(open) are open by their nature, \(bad.count) did not hold.")
        return bad.isEmpty
    }

    private static func withoutGuards(_ world: LabWorld) async throws -> Bool {
        print(GuardReport.header)
        let reports = try await AttackSuite.runWithoutGuards(in: world) { print($0.line) }
        let idle = reports.filter { !$0.isNeeded }
        print("\nWithout \(reports.count - idle.count) of \(reports.count) guards something gets through.")
        return idle.isEmpty
    }
}
