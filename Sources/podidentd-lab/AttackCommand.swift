import ArgumentParser
import Lab

struct AttackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attack",
        abstract: "Attacks a running agent in every known way, and prints what each attack got. Needs root."
    )

    func run() async throws {
        let world = try await LabWorld.start(keys: try LabCluster.Keys())
        let reports: [AttackReport]
        do {
            print(AttackReport.header)
            reports = try await AttackSuite.run(in: world) { print($0.line) }
        } catch {
            await world.stop()
            throw error
        }
        await world.stop()
        let broken = reports.count { !$0.isHeld }
        print(broken == 0 ? "\nAll \(reports.count) held." : "\n\(broken) of \(reports.count) broke through.")
        if broken > 0 { throw ExitCode(1) }
    }
}
