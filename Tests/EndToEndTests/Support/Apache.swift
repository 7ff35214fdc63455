import AgentTesting
import Foundation
import Lab

/// A real Apache with mod_oauth2 on the lab's node: each of its folders is open to one issuer, audience and subject.
final class Apache: Sendable {
    /// One folder, and the tokens that open it.
    struct Folder: Sendable {
        let name: String
        /// The key set that signatures are checked by.
        let keysURL: String
        let issuer: String
        let subject: String
    }

    static let audience = "apache"
    private static let port = 8300
    private static let word = "open-sesame"
    private static let modules = "/usr/lib/apache2/modules"

    private let command: Command
    private let world: LabWorld
    private let root: String

    /// Whether Debian's Apache and its module are installed.
    static var isInstalled: Bool {
        FileManager.default.fileExists(atPath: modules + "/mod_oauth2.so")
    }

    static func start(in world: LabWorld, _ folders: [Folder]) async throws -> Apache {
        let server = try Apache(world, folders)
        do {
            try await server.command.errorLines.first(within: .seconds(60)) {
                $0.contains("resuming normal operations")
            }
        } catch {
            let log = server.command.errorLines.events.joined(separator: "\n")
            await server.stop()
            throw LabError("Apache did not start: \(log)")
        }
        return server
    }

    private init(_ world: LabWorld, _ folders: [Folder]) throws {
        self.world = world
        // The workers are another user's, who may not enter the lab's folder.
        root = "/tmp/\(world.node.identifier)-apache"
        for folder in folders {
            let path = "\(root)/htdocs/\(folder.name)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try Self.word.write(toFile: path + "/word", atomically: true, encoding: .utf8)
        }
        let server = try world.cluster.pki.server(hosts: [LabNode.address])
        try server.certificatePEM.write(toFile: root + "/tls.crt", atomically: true, encoding: .utf8)
        try server.privateKeyPEM.write(toFile: root + "/tls.key", atomically: true, encoding: .utf8)
        try world.cluster.pki.authorityPEM.write(toFile: root + "/authority.crt", atomically: true, encoding: .utf8)
        for path in [root, root + "/authority.crt"] {
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }
        let text = Self.configuration(root) + folders.map(Self.location).joined()
        try text.write(toFile: root + "/httpd.conf", atomically: true, encoding: .utf8)
        // The module has no setting for an authority: key sets are fetched by what the system trusts, here the lab's.
        let script = "mount --bind \"$0\" /etc/ssl/certs/ca-certificates.crt && exec apache2 -D FOREGROUND -f \"$1\""
        command = try Command(
            world.node.processCommand + [
                "unshare", "--mount", "sh", "-c", script, root + "/authority.crt", root + "/httpd.conf",
            ])
    }

    private static func configuration(_ root: String) -> String {
        let names = ["mpm_event", "authn_core", "authz_core", "authz_user", "ssl", "oauth2"]
        let loaded = names.map { "LoadModule \($0)_module \(modules)/mod_\($0).so\n" }.joined()
        return loaded + """
            ServerName \(LabNode.address)
            ServerRoot \(root)
            PidFile \(root)/pid
            Listen \(LabNode.address):\(port)
            ErrorLog /dev/stderr
            LogLevel notice
            User www-data
            Group www-data
            DocumentRoot \(root)/htdocs
            SSLEngine on
            SSLCertificateFile \(root)/tls.crt
            SSLCertificateKeyFile \(root)/tls.key

            """
    }

    private static func location(_ folder: Folder) -> String {
        """
        <Location /\(folder.name)>
        AuthType oauth2
        OAuth2TokenVerify jwks_uri \(folder.keysURL)
        <RequireAll>
        Require oauth2_claim iss:\(folder.issuer)
        Require oauth2_claim aud:\(audience)
        Require oauth2_claim sub:\(folder.subject)
        </RequireAll>
        </Location>

        """
    }

    /// Reads the word of a folder as a pod that shows a token; returns the status where there is none.
    func read(from pod: RunningPod, _ folder: String, token: String?) async throws -> String {
        let header = token.map { ["-H", "Authorization: Bearer \($0)"] } ?? []
        let url = "https://\(LabNode.address):\(Self.port)/\(folder)/word"
        let result = try await Command.run(
            pod.commandLine(
                ["curl", "-sS", "--max-time", "30", "--cacert", world.cluster.authorityPath, "-w", "\n%{http_code}"]
                    + header + [url]))
        guard result.succeeded else { throw LabError("curl \(folder): \(result.errorOutput)") }
        return result.output == Self.word + "\n200" ? Self.word : String(result.output.suffix(3))
    }

    func stop() async {
        command.signal(SIGTERM)
        _ = await command.result()
        try? FileManager.default.removeItem(atPath: root)
    }
}
