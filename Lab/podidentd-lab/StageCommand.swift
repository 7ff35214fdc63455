import ArgumentParser
import Foundation
import Lab

struct StageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stage",
        abstract: "Makes a node with cluster and cloud, and obeys commands on standard input, one JSON object a line.",
        shouldDisplay: false
    )

    func run() async throws {
        // Without hooks no server may answer: a client that waits for the agent would take the trap for it.
        try await LabWorld.with(keys: try LabCluster.Keys(), configure: { $0.trap = nil }) { world in
            let stage = Stage(world: world)
            // The end of standard input is the end: the test that gave the commands has gone.
            while let line = readLine() {
                FileHandle.standardOutput.write(Data((await stage.obey(line) + "\n").utf8))
            }
        }
    }
}
