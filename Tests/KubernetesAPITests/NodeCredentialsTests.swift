import Foundation
import Logging
import Synchronization
import Testing
import Tokens
import UpstreamHTTP
import UpstreamTesting

@testable import KubernetesAPI

@Suite("Node credentials")
struct NodeCredentialsTests {
    @Test("After a rotation, every new request shows the new certificate on a connection of its own")
    func rotation() async throws {
        try await KubernetesFixture.run { _ in
            .answer(200, podList(version: 1, []))
        } body: { client, server, fixture in
            for _ in 0..<2 { _ = try await client.listPods(nodeName: "node-a") }
            try fixture.rotate(serial: 11)
            for _ in 0..<2 { _ = try await client.listPods(nodeName: "node-a") }
            #expect(server.requests.map(\.clientSerial) == [[10], [10], [11], [11]])
            #expect(server.requests.map(\.connection) == [1, 1, 2, 2])
            #expect(client.credentials.latest.generation == 2)
        }
    }

    @Test("A certificate that is refused is looked at again, and the request repeated with the new one")
    func refusedCredentials() async throws {
        let fixture = try KubernetesFixture()
        defer { try? FileManager.default.removeItem(atPath: fixture.folder) }
        try fixture.rotate(serial: 10)
        let tls = try fixture.authority.serverConfiguration(asksForClient: true)
        try await ScriptedServer.serve(tls: tls) { request in
            request.clientSerial == [10]
                ? .answer(401, statusBody(401, "Unauthorized")) : .answer(200, podList(version: 1, []))
        } body: { server in
            // An hour: only the refusal makes the agent look.
            let credentials = try NodeCredentials(
                kubeconfig: fixture.kubeconfig(port: server.port), checkInterval: .seconds(3600), logger: quietLogger
            )
            let options = try KubernetesClientOptions(audience: testAudience)
            let client = KubernetesClient(options: options, credentials: credentials, logger: quietLogger)
            let error = await #expect(throws: (any Error).self) { try await client.listPods(nodeName: "node-a") }
            #expect("\(error.map { "\($0)" } ?? "")".contains("node credentials refused"))
            #expect(server.requests.count == 1)
            try fixture.rotate(serial: 11)
            _ = try await client.listPods(nodeName: "node-a")
            #expect(server.requests.map(\.clientSerial).suffix(2) == [[10], [11]])
            await client.shutdown()
        }
    }

    @Test("A new file that cannot be used changes nothing and is complained about once")
    func badRotation() async throws {
        let fixture = try KubernetesFixture()
        defer { try? FileManager.default.removeItem(atPath: fixture.folder) }
        try fixture.rotate(serial: 10)
        let log = RecordingLog()
        let credentials = try NodeCredentials(
            kubeconfig: fixture.kubeconfig(port: 1), checkInterval: .zero, logger: Logger(label: "test") { _ in log }
        )
        let good = try fixture.authority.issue("system:node:node-a", serial: 12)
        let other = try fixture.authority.issue("system:node:node-a", serial: 13)
        let bad = [
            String(good.certificatePEM.prefix(300)),
            good.certificatePEM,
            good.certificatePEM + "\n" + other.privateKeyPEM,
            "",
        ]
        for (number, content) in bad.enumerated() {
            try fixture.install("bad-\(number).pem", content)
            for _ in 0..<3 { #expect(await credentials.current().generation == 1) }
        }
        // Four bad files, of which neighbours may be bad in the same way.
        #expect((2...4).contains(log.errors.count))
        #expect(log.errors.allSatisfy { !$0.contains("PRIVATE KEY") })
        try fixture.install("good.pem", good.certificatePEM + "\n" + good.privateKeyPEM)
        #expect(await credentials.current().generation == 2)
        let end = try #require(credentials.latest.notAfter)
        #expect((.seconds(500)...(.seconds(601))).contains(end - .now()))
    }

    @Test("A token file is one token, and followed like a certificate")
    func tokenFile() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/token"
        let config = Kubeconfig(
            path: "x", server: KubernetesServer(host: "a", port: 1), bearerToken: .file(file), files: HostFiles()
        )
        try "two words".write(toFile: file, atomically: true, encoding: .utf8)
        #expect(throws: KubernetesAPIError(file, "must hold one bearer token and nothing else")) {
            try NodeCredentials(kubeconfig: config, logger: quietLogger)
        }
        try "first\n".write(toFile: file, atomically: true, encoding: .utf8)
        let credentials = try NodeCredentials(kubeconfig: config, checkInterval: .zero, logger: quietLogger)
        #expect(credentials.latest.bearerToken?.exposed == "first")
        try "second\n".write(toFile: file, atomically: true, encoding: .utf8)
        #expect(await credentials.current().bearerToken?.exposed == "second")
        #expect(!"\(credentials.latest)".contains("second"))
    }
}

/// Keeps what is logged as an error.
private final class RecordingLog: LogHandler {
    private let storage = Mutex<[String]>([])
    var errors: [String] { storage.withLock { $0 } }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        guard event.level == .error else { return }
        storage.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
    }
}
