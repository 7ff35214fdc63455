import ArgumentParser
import Foundation
import Lab

/// A workload of its own, inside a pod: mutual TLS with the SVID that the endpoint hands out.
struct PeerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peer", abstract: "Speaks mutual TLS with the X.509-SVID of the pod that runs it.",
        shouldDisplay: false
    )

    @Option(help: "The address of the server.")
    var address: String
    @Option(help: "The port of the server.")
    var port = 7443
    @Option(help: "The SPIFFE ID that the other side must have.")
    var peer: String
    @Flag(help: "Is the server.")
    var serve = false

    func run() async throws {
        let svid = try await WorkloadSVID.fetch()
        guard serve else {
            print(try await SVIDPeer.dial(svid, address: address, port: port, peer: peer))
            return
        }
        try await SVIDPeer.serve(svid, address: address, port: port, peer: peer) { line in
            FileHandle.standardError.write(Data((line + "\n").utf8))
        }
    }
}
