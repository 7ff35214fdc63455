import NIOCore
import NIOHTTP1
import Synchronization

/// The machine's own metadata server, behind the redirect: a pod that reaches it has found a hole.
///
/// The server answers as Compute Engine does, with a token that says what it is, and keeps every connection and byte. On AWS's and
/// Azure's paths it answers every request, whatever its headers: a machine's own server knows no pods.
package final class TrapServer: Sendable {
    /// The access token that no pod may ever see.
    package static let token = "ya29.TRAP-THE-NODE-TOKEN"

    /// One thing that reached the trap.
    package enum Contact: Sendable, Equatable {
        case connection(from: String)
        case bytes([UInt8], from: String)
    }

    /// Everything that reached the trap, oldest first.
    package let contacts: EventLog<Contact>
    /// The server itself, with the requests that were HTTP.
    package let server: LabHTTPServer
    private let tap: Tap

    package init(host: String, port: Int, listener: @escaping ListenerFactory = LocalListener.factory) {
        let contacts = EventLog<Contact>()
        let tap = Tap(contacts: contacts)
        self.contacts = contacts
        self.tap = tap
        self.server = LabHTTPServer(
            LabHTTPServer.Configuration(host: host, port: port, tap: tap, listener: listener),
            handler: Self.answer
        )
    }

    /// How many connections reached the trap. Anything but zero is a failed test.
    package var connections: Int {
        tap.connections.withLock { $0 }
    }

    package func start() async throws { try await server.start() }
    package func stop() async { await server.stop() }

    /// Waits until `count` connections have reached the trap.
    package func waitForConnections(_ count: Int, within deadline: Duration = .seconds(60)) async throws {
        try await contacts.wait(within: deadline) { [self] _ in connections >= count }
    }

    private static let answer: LabHTTPServer.Handler = { request in
        if let answer = TrapServer.otherCloud(request) { return answer }
        let headers = [("Metadata-Flavor", "Google"), ("Server", "Metadata Server for VM")]
        guard request.headers.contains(name: "Metadata-Flavor") || request.path == "/" else {
            return .text(403, "<!DOCTYPE html>\n", contentType: "text/html; charset=UTF-8", headers: headers)
        }
        switch request.path {
        case "/":
            return .text(200, "0.1/\ncomputeMetadata/\n", contentType: "application/text", headers: headers)
        case let path where path.hasSuffix("/token"):
            let body: JSON = ["access_token": .string(token), "expires_in": 3599, "token_type": "Bearer"]
            return .json(200, body, headers: headers)
        case let path where path.hasSuffix("/email"):
            let email = "trap@the-node.iam.gserviceaccount.com"
            return .text(200, email, contentType: "application/text", headers: headers)
        default:
            return .text(200, "TRAP", contentType: "application/text", headers: headers)
        }
    }

    /// The answer of a machine of AWS's or Azure's; `nil` if the path is neither's.
    private static func otherCloud(_ request: LabRequest) -> LabResponse? {
        let roles = "/latest/meta-data/iam/security-credentials"
        if request.path == "/latest/api/token" { return .text(200, "TRAP-SESSION") }
        if request.path.hasPrefix("/metadata/identity/") { return .json(200, ["access_token": .string(token)]) }
        guard request.path.hasPrefix(roles) else { return nil }
        guard request.path.dropFirst(roles.count).contains(where: { $0 != "/" }) else {
            return .text(200, "the-node")
        }
        let body: JSON = ["Code": "Success", "AccessKeyId": "ASIATRAPTHENODE", "Token": .string(token)]
        return .json(200, body)
    }

    private final class Tap: ConnectionTap {
        let contacts: EventLog<Contact>
        let connections = Mutex(0)

        init(contacts: EventLog<Contact>) {
            self.contacts = contacts
        }

        func accepted(from remote: SocketAddress?) {
            connections.withLock { $0 += 1 }
            contacts.record(.connection(from: Self.name(remote)))
        }

        func received(_ bytes: ByteBuffer, from remote: SocketAddress?) {
            contacts.record(.bytes(Array(bytes.readableBytesView), from: Self.name(remote)))
        }

        private static func name(_ remote: SocketAddress?) -> String {
            guard let remote else { return "unknown" }
            return "\(remote.ipAddress ?? "unknown"):\(remote.port ?? 0)"
        }
    }
}
