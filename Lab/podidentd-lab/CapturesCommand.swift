import ArgumentParser
import Foundation
import Lab

struct CapturesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "captures", abstract: "Writes the page that shows the debug commands. Needs root."
    )

    @Argument(help: "Where the page goes.")
    var path: String

    func run() async throws {
        let page = try await DebugPage.make(keys: try LabCluster.Keys())
        try page.write(toFile: path, atomically: true, encoding: .utf8)
        print("wrote \(path)")
    }
}
