import ArgumentParser
import Lab

struct StormCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "storm",
        abstract: "What share of cold pods that ask at the same moment is served at the first try. Needs root.",
        discussion: "A line for each round, whose pods are all new, and one for all. Clients give up after 2.8 s."
    )

    @Option(help: "Pods that start at once.")
    var pods = 200

    @Option(help: "How often, each time with new pods.")
    var rounds = 5

    @Option(help: "Processes that take processor time meanwhile.")
    var hogs = 2

    @Option(help: "Milliseconds by which each upstream answers late.")
    var delay = 0

    func validate() throws {
        guard (1...500).contains(pods) else { throw ValidationError("--pods is from 1 to 500") }
    }

    func run() async throws {
        var trial = StormTrial()
        (trial.pods, trial.rounds, trial.hogs, trial.delay) = (pods, rounds, hogs, .milliseconds(delay))
        try await LabWorld.with(keys: try LabCluster.Keys()) { [trial] world in
            print(StormTrial.Result.header)
            let all = try await trial.run(in: world) { print($0.line) }
            print(all.line)
        }
    }
}
