import ArgumentParser
import Foundation
import Lab

struct SoakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Mixed load with churn and an upgrade for a while, and whether the agent stays as it is. Needs root.",
        discussion: """
            A line for each window of the time: requests and what came of them, the agent's memory, descriptors and \
            threads, latencies. Windows marked * are an agent's first, in which it may grow. Exit status 1: not steady. \
            A drift of the latency is reported, and is no failure.
            """
    )

    @Option(help: "For how long, from 1 to 1440.")
    var minutes = 30

    @Flag(help: "Prints everything as JSON at the end, instead of the table.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "Writes where the agent's metrics can be scraped: the file of its network namespace.", valueName: "path"))
    var namespaceFile: String?

    func validate() throws {
        guard (1...1440).contains(minutes) else { throw ValidationError("--minutes is from 1 to 1440") }
    }

    func run() async throws {
        let report = try await LabWorld.with(keys: try LabCluster.Keys()) { world in
            if !json { print(SoakReport.header) }
            try namespaceFile.map { try Data(world.node.network.path.utf8).write(to: URL(fileURLWithPath: $0)) }
            return try await Soak(duration: .seconds(minutes * 60)).run(in: world) { window in
                if !json { print(window.line) }
            }
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        } else {
            print("\n" + report.verdict)
        }
        if !report.isGood { throw ExitCode.failure }
    }
}
