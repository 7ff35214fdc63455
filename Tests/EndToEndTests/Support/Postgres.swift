import AgentTesting
import Foundation
import Lab

/// A real PostgreSQL in a pod: its own certificate is the pod's X.509-SVID, and so are its users'.
final class Postgres: Sendable {
    private let command: Command
    private let address: String
    private static let user = "postgres"

    /// Starts one whose only way in is a certificate of the trust domain whose name the map knows: the ServiceAccount `shop`.
    static func start(in pod: RunningPod, _ world: LabWorld) async throws -> Postgres {
        let files = try await world.svidFiles(of: pod)
        let folder = "/tmp/\(world.node.identifier)-postgres"
        let binaries = try await Command.require(["sh", "-ec", "ls -d /usr/lib/postgresql/*/bin | tail -1"])
            .trimmingCharacters(in: .newlines)
        let script = """
            rm -rf \(folder); install -d -o \(user) -g \(user) -m 0700 \(folder)
            install -o \(user) -g \(user) -m 0600 \(files)/svid.pem \(files)/svid.key \(files)/bundle.pem \(folder)
            cd /; as="setpriv --reuid=\(user) --regid=\(user) --clear-groups"
            $as \(binaries)/initdb --auth=reject -D \(folder)/data > \(folder).log
            rm \(folder).log
            cat > \(folder)/data/pg_hba.conf <<'END'
            hostssl all all 0.0.0.0/0 cert clientname=DN map=spiffe
            END
            cat > \(folder)/data/pg_ident.conf <<'END'
            spiffe "CN=shop,OU=default,O=\(LabSigner.trustDomain)" shop
            END
            echo 'create role shop login' | $as \(binaries)/postgres --single -D \(folder)/data postgres > /dev/null
            """
        try await Command.require(["sh", "-ec", script])
        let settings = [
            "listen_addresses=\(pod.address)", "unix_socket_directories=", "ssl=on", "ssl_cert_file=\(folder)/svid.pem",
            "ssl_key_file=\(folder)/svid.key", "ssl_ca_file=\(folder)/bundle.pem",
        ]
        let server = try Postgres(pod, folder, binaries, settings)
        try await server.command.errorLines.first(within: .seconds(60)) { $0.contains("ready to accept") }
        return server
    }

    private init(_ pod: RunningPod, _ folder: String, _ binaries: String, _ settings: [String]) throws {
        address = pod.address
        // The folder goes with the server.
        let script = """
            cd /; trap 'kill $child; wait $child; rm -rf "\(folder)"' TERM
            setpriv --reuid=\(Self.user) --regid=\(Self.user) --clear-groups "$@" & child=$!; wait $child
            """
        command = try pod.start(
            ["sh", "-c", script, "sh", binaries + "/postgres", "-D", folder + "/data"]
                + settings.flatMap { ["-c", $0] })
    }

    /// Runs one query as `user`, with the SVID in a folder as the client's certificate.
    func ask(from pod: RunningPod, as user: String, files: String?) async throws -> CommandResult {
        let certificate = files.map {
            "sslmode=verify-ca sslrootcert=\($0)/bundle.pem sslcert=\($0)/svid.pem sslkey=\($0)/svid.key"
        }
        let query = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"
        return try await pod.run(
            "env", "HOME=/nonexistent", "psql", "-XAt", "-c", query,
            "host=\(address) dbname=postgres user=\(user) connect_timeout=10 " + (certificate ?? "sslmode=require"))
    }

    func stop() async {
        command.signal(SIGTERM)
        _ = await command.result()
    }
}
