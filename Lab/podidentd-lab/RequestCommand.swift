import ArgumentParser
import Foundation
import Lab
import NIOCore

/// The program that ``PodClient`` runs.
struct RequestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "visit", abstract: "Makes exchanges from inside other pods' cgroups, as told on standard input.",
        shouldDisplay: false
    )

    @Option(help: "The cgroup.procs of the cgroup to return to.")
    var home: String

    func run() throws {
        let address = try SocketAddress(ipAddress: "169.254.169.254", port: 80)
        let maker = VisitMaker(from: home, to: address)
        while let line = readLine() {
            let visit = try JSONDecoder().decode(ClientRequest.self, from: Data(line.utf8))
            let result = try JSONEncoder().encode(maker.make(visit))
            try FileHandle.standardOutput.write(contentsOf: result + [UInt8(ascii: "\n")])
        }
    }
}
