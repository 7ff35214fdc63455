import ArgumentParser
import Foundation
import Lab

struct CapturesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "captures", abstract: "Writes the pages that show the debug commands. Needs root."
    )

    @Argument(help: "Where the page of the agent's commands goes.")
    var path: String

    @Option(help: "Where the page of the kubectl plugin goes; run in the repository after 'make deploy-test'.")
    var plugin: String?

    func run() async throws {
        let keys = try LabCluster.Keys()
        try write(try await DebugPage.make(keys: keys), to: path)
        guard let plugin else { return }
        let repository = FileManager.default.currentDirectoryPath
        try write(try await PluginPage.make(keys: keys, repository: repository), to: plugin)
    }

    private func write(_ page: String, to path: String) throws {
        try page.write(toFile: path, atomically: true, encoding: .utf8)
        print("wrote \(path)")
    }
}
