import ArgumentParser
import Lab

@main
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "podidentd-lab",
        abstract: "Everything around podidentd, on one machine: a Kubernetes API, Google's token services, and pods.",
        subcommands: [
            DemoCommand.self, ClientsCommand.self, AttackCommand.self, CleanCommand.self, ProbeCommand.self,
            SoakCommand.self, RequestCommand.self, StageCommand.self, CapturesCommand.self, MemoryCommand.self,
            StormCommand.self, WorkloadCommand.self, WorkloadLoadCommand.self, PeerCommand.self, MillionCommand.self,
            GoogleCommand.self, SimulateCommand.self, FleetCommand.self,
        ]
    )

    static func main() async {
        // A demo whose output goes to a file shows its lines as they come.
        LabOutput.writeLinesAtOnce()
        await main(nil)
    }
}
