import ArgumentParser
import Foundation
import Lab

/// Calls the SPIFFE endpoint, inside a pod, again and again over kept connections.
struct WorkloadLoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workload-load", abstract: "Calls the SPIFFE endpoint again and again, and prints a report.",
        shouldDisplay: false
    )

    @Option(help: "The server's IP address.")
    var address = "169.254.169.254"
    @Option(help: "The server's port.")
    var port = LabSigner.endpointPort
    @Option(help: "A method; may be repeated. Default: three in turns.")
    var method: [String] = []
    @Option(help: "Calls in all.")
    var calls = 1000
    @Option(help: "Ends after so many seconds.")
    var seconds = 600.0
    @Option(help: "Calls at a time.")
    var width = 8
    @Option(help: "Calls of one connection.")
    var perConnection = Int.max
    @Flag(help: "Keeps every stream open until --seconds are over.")
    var hold = false
    @Option(help: "The SPIFFE ID that answers must name.")
    var expectID: String?
    @Option(help: "The pod's UID that tokens must name.")
    var expectPod: String?

    func run() async throws {
        var load = WorkloadLoad()
        (load.host, load.port, load.calls, load.seconds) = (address, port, calls, seconds)
        (load.width, load.perConnection, load.id, load.podUID) = (width, perConnection, expectID, expectPod)
        load.holds = hold
        if !method.isEmpty { load.methods = method.compactMap { WorkloadLoad.Method(rawValue: $0) } }
        guard !load.methods.isEmpty else { throw ValidationError("--method is none that this load calls") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        print(String(decoding: try encoder.encode(try await load.run()), as: UTF8.self))
    }
}
