import AgentTesting
import Foundation
import Lab

/// A real OpenBao on the lab's node, unsealed and in memory.
final class OpenBao: Sendable {
    private static let root = "lab-root"
    private let command: Command
    private let world: LabWorld
    private let folder: String
    private static let address = "https://\(LabNode.address):8200"

    /// Starts it with one secret, which the policy `app` lets one read.
    static func start(in world: LabWorld) async throws -> OpenBao {
        let server = try OpenBao(world)
        do {
            try await server.setUp()
        } catch {
            await server.stop()
            throw error
        }
        return server
    }

    private func setUp() async throws {
        try await world.eventually("OpenBao") { try await run("status").succeeded }
        try await require("kv", "put", "secret/app", "word=open-sesame")
        let policy = folder + "/app.hcl"
        try "path \"secret/data/app\" { capabilities = [\"read\"] }\n".write(
            toFile: policy, atomically: true, encoding: .utf8)
        try await require("policy", "write", "app", policy)
    }

    private init(_ world: LabWorld) throws {
        self.world = world
        folder = world.node.directory + "/openbao"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let server = try world.cluster.pki.server(hosts: [LabNode.address])
        try server.certificatePEM.write(toFile: folder + "/tls.crt", atomically: true, encoding: .utf8)
        try server.privateKeyPEM.write(toFile: folder + "/tls.key", atomically: true, encoding: .utf8)
        let listener = """
            listener "tcp" {
              address = "\(LabNode.address):8200"
              tls_cert_file = "\(folder)/tls.crt"
              tls_key_file = "\(folder)/tls.key"
            }

            """
        try listener.write(toFile: folder + "/listener.hcl", atomically: true, encoding: .utf8)
        command = try Command(
            world.node.processCommand + [
                "env", "HOME=\(folder)", Self.program, "server", "-dev", "-dev-root-token-id=\(Self.root)",
                "-dev-no-store-token", "-dev-listen-address=127.0.0.1:8200", "-config=\(folder)/listener.hcl",
            ])
    }

    private static var program: String { ClientPath.root + "/.build/clients/bao" }

    /// Runs the command line as its administrator.
    private func run(_ arguments: String...) async throws -> CommandResult { try await run(arguments) }

    private func run(_ arguments: [String]) async throws -> CommandResult {
        try await Command.run(
            world.node.processCommand + [
                "env", "HOME=\(folder)", "BAO_ADDR=\(Self.address)", "BAO_CACERT=\(world.cluster.authorityPath)",
                "BAO_TOKEN=\(Self.root)", Self.program,
            ] + arguments)
    }

    func require(_ arguments: String...) async throws {
        let result = try await run(arguments)
        guard result.succeeded else { throw LabError("bao \(arguments): \(result.output)\(result.errorOutput)") }
    }

    /// Reads the secret as a pod, after a login with these fields; returns the reason where there is none.
    func read(from pod: RunningPod, mount: String, _ fields: [String: String], files: String? = nil) async throws
        -> String
    {
        let certificate = files.map { ["--cert", $0 + "/svid.pem", "--key", $0 + "/svid.key"] } ?? []
        let body = JSON.map(fields)?.text ?? "{}"
        let login = try await curl(pod, certificate + ["-d", body, Self.address + "/v1/auth/\(mount)/login"])
        guard let token = login["auth"]?["client_token"]?.string else {
            return "refused: " + (login["errors"]?.strings ?? []).joined(separator: "; ")
        }
        let secret = try await curl(pod, ["-H", "X-Vault-Token: \(token)", Self.address + "/v1/secret/data/app"])
        return secret["data"]?["data"]?["word"]?.string ?? "unreadable: \(secret.text)"
    }

    private func curl(_ pod: RunningPod, _ arguments: [String]) async throws -> JSON {
        let result = try await Command.run(
            pod.commandLine(["curl", "-sS", "--max-time", "10", "--cacert", world.cluster.authorityPath] + arguments))
        guard result.succeeded else { throw LabError("curl \(arguments): \(result.errorOutput)") }
        return try JSON(parsing: Array(result.output.utf8))
    }

    func stop() async {
        command.signal(SIGKILL)
        _ = await command.result()
    }
}
