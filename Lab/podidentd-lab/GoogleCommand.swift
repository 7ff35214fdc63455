import ArgumentParser
import Foundation
import Lab
import UnixSignals

struct GoogleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "google",
        abstract: "Serves an emulated Google to a cluster: token service, IAM Credentials, and a bucket.",
        discussion: """
            For trying podidentd on a laptop: see docs/quickstart.md. It verifies the cluster's tokens as Google does, and \
            gives out tokens that are good for nothing but its own bucket.
            """)

    @Option(help: "The provider that the agents name: //iam.googleapis.com/projects/...")
    var provider: String
    @Option(help: "The issuer of the cluster's ServiceAccount tokens.")
    var issuer: String
    @Option(help: "A file with the issuer's keys, as 'kubectl get --raw /openid/v1/jwks' prints them.")
    var keys: String
    @Option(help: "A PEM file with the server's certificate, which the agents' google.ca-file must trust.")
    var certificate: String
    @Option(help: "A PEM file with its private key.")
    var privateKey: String
    @Option(help: "The numeric address to listen on.")
    var host = "0.0.0.0"
    @Option(help: "The port to listen on.")
    var port = 8443

    func run() async throws {
        func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
        var configuration = GoogleServer.Configuration(
            certificate: try LabPKI.Credential(
                certificatePEM: try text(certificate), privateKeyPEM: try text(privateKey)),
            providerName: provider, issuer: issuer, keySet: try Data(contentsOf: URL(filePath: keys)))
        configuration.host = host
        configuration.port = port
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let server = try GoogleServer(configuration)
        print("the emulated Google listens at \(try await server.start())")
        for await _ in signals { break }
        await server.stop()
    }
}
