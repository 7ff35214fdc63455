import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import Testing

@testable import Lab

/// A client with an optional certificate that trusts the lab's authority, shut down at the end.
private func withClient<Result>(
    authorityPEM: String? = nil,
    credential: LabPKI.Credential? = nil,
    _ body: (HTTPClient) async throws -> Result
) async throws -> Result {
    var configuration = HTTPClient.Configuration()
    // A reset that arrives within connect() is a failure to see, not one to repair.
    configuration.connectionPool.retryConnectionEstablishment = false
    if let authorityPEM {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(authorityPEM.utf8)))
        if let credential {
            tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(credential.certificatePEM.utf8))
                .map { .certificate($0) }
            tls.privateKey = .privateKey(
                try NIOSSLPrivateKey(bytes: Array(credential.privateKeyPEM.utf8), format: .pem))
        }
        configuration.tlsConfiguration = tls
    }
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
        let result = try await body(client)
        try await client.shutdown()
        return result
    } catch {
        try await client.shutdown()
        throw error
    }
}

extension HTTPClient {
    fileprivate func get(_ url: String, within timeout: TimeAmount = .seconds(60)) async throws -> (Int, String) {
        let response = try await execute(HTTPClientRequest(url: url), timeout: timeout)
        return (Int(response.status.code), String(buffer: try await response.body.collect(upTo: 1 << 20)))
    }
}

@Suite(.timeLimit(.minutes(10))) struct ServerTests {
    private static let hello: LabHTTPServer.Handler = { .text(200, "hello \($0.path)") }

    private func withServer(
        _ handler: @escaping LabHTTPServer.Handler = hello,
        _ body: (LabHTTPServer, HTTPClient, String) async throws -> Void
    ) async throws {
        let server = LabHTTPServer(handler: handler)
        try await server.start()
        let url = try #require(server.url)
        do {
            try await withClient { try await body(server, $0, url) }
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
        #expect(server.openConnections == 0)
    }

    @Test func keepsConnectionsAliveAndLogsRequests() async throws {
        try await withServer { server, client, url in
            for path in ["/a", "/b", "/c"] {
                let text = try await client.get(url + path).1
                #expect(text == "hello \(path)")
            }
            #expect(server.acceptedConnections == 1)
            #expect(server.requests.events.map(\.path) == ["/a", "/b", "/c"])
            #expect(server.requests.events.map(\.status) == [200, 200, 200])
        }
    }

    @Test func streamsUntilTheClientLeaves() async throws {
        let ended = EventLog<String>()
        try await withServer({ _ in
            LabResponse(
                status: 200,
                body: .stream { writer in
                    defer { ended.record("ended") }
                    try await writer.write(ByteBuffer(string: "line\n"))
                    try await Task.sleep(for: .seconds(60))
                }
            )
        }) { _, client, url in
            let response = try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(60))
            for try await chunk in response.body {
                #expect(String(buffer: chunk) == "line\n")
                break
            }
            try await ended.wait { $0 == ["ended"] }
        }
    }

    @Test(arguments: [FaultEffect.resetAfterRequest, .drop, .garbage, .truncatedBody, .resetOnAccept])
    func aFaultBreaksOneRequestAndTheNextWorks(effect: FaultEffect) async throws {
        try await withServer { server, client, url in
            server.faults.inject(effect, times: 1)
            await #expect(throws: (any Error).self) { try await client.get(url + "/x") }
            let status = try await client.get(url + "/x").0
            #expect(status == 200)
        }
    }

    @Test func faultsAnswerInsteadAreScopedAndCanBeCleared() async throws {
        try await withServer { server, client, url in
            server.faults.inject(.status(503, body: "{}", retryAfterSeconds: 7), pathPrefix: "/bad")
            let faulty = [try await client.get(url + "/bad/1").0, try await client.get(url + "/good").0]
            #expect(faulty == [503, 200])
            server.faults.clear()
            let healed = try await client.get(url + "/bad/1").0
            #expect(healed == 200)
            server.faults.inject(.malformedJSON, times: 1, where: { $0.method == "GET" })
            let text = try await client.get(url).1
            #expect(throws: (any Error).self) { try JSON(parsing: text.utf8) }
        }
    }

    @Test func delaysAndHangs() async throws {
        try await withServer { server, client, url in
            server.faults.inject(.delay(.milliseconds(80)), times: 1)
            let start = ContinuousClock.now
            let status = try await client.get(url).0
            #expect(status == 200)
            #expect(ContinuousClock.now - start >= .milliseconds(80))
            server.faults.inject(.hang)
            await #expect(throws: (any Error).self) { try await client.get(url, within: .milliseconds(100)) }
        }
    }

    @Test func goesDownAndComesBackOnTheSamePort() async throws {
        try await withServer { server, client, url in
            let before = try await client.get(url).0
            #expect(before == 200)
            await server.takeDown()
            await #expect(throws: (any Error).self) { try await client.get(url, within: .milliseconds(500)) }
            try await server.bringUp()
            #expect(server.url == url)
            let after = try await client.get(url).0
            #expect(after == 200)
        }
    }

    @Test func waitingForAnEventHasADeadline() async throws {
        let log = EventLog<Int>()
        await #expect(throws: DeadlineExceeded.self) { try await log.wait(within: .milliseconds(20)) { !$0.isEmpty } }
        log.record(1)
        let events = try await log.wait { !$0.isEmpty }
        #expect(events == [1])
    }

    @Test("a log that has forgotten its oldest events still counts them")
    func waitingForATotal() async throws {
        let log = EventLog<Int>(capacity: 2)
        await #expect(throws: DeadlineExceeded.self) { try await log.wait(within: .milliseconds(20), forTotal: 1) }
        async let third: Void = log.wait(forTotal: 3)
        for number in 1...3 { log.record(number) }
        try await third
        #expect(log.events == [2, 3])
        try await log.wait(forTotal: 3)
    }

    @Test func theTrapRecordsEveryConnectionAndByte() async throws {
        let trap = TrapServer(host: "127.0.0.1", port: 0)
        try await trap.start()
        let url = try #require(trap.server.url)
        let body = try await withClient { client in
            var request = HTTPClientRequest(url: "\(url)/computeMetadata/v1/instance/service-accounts/default/token")
            request.headers.add(name: "Metadata-Flavor", value: "Google")
            let response = try await client.execute(request, timeout: .seconds(60))
            return String(buffer: try await response.body.collect(upTo: 4096))
        }
        #expect(body.contains(TrapServer.token))
        try await trap.waitForConnections(1)
        try await trap.contacts.first {
            if case .bytes(let bytes, _) = $0 {
                String(decoding: bytes, as: UTF8.self).hasPrefix("GET /comp")
            } else {
                false
            }
        }
        #expect(trap.connections == 1)
        await trap.stop()
    }
}

@Suite(.timeLimit(.minutes(10))) struct ClusterTests {
    fileprivate func withCluster(_ body: (LabCluster) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "lab-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var configuration = LabCluster.Configuration(directory: directory)
        configuration.trap = (host: "127.0.0.1", port: 0)
        let cluster = try await LabCluster.start(configuration, keys: try Shared.keys.get())
        do {
            try await body(cluster)
        } catch {
            await cluster.stop()
            throw error
        }
        await cluster.stop()
    }

    fileprivate func status(_ cluster: LabCluster, _ credential: LabPKI.Credential?) async throws -> Int {
        let url = "\(cluster.kubernetesURL)/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a"
        return try await withClient(authorityPEM: cluster.pki.authorityPEM, credential: credential) {
            try await $0.get(url).0
        }
    }

    @Test func judgesClientCertificatesAboveTLS() async throws {
        try await withCluster { cluster in
            let pki = cluster.pki
            let expired = Date(timeIntervalSinceNow: -10)
            let clients: [(name: String, credential: LabPKI.Credential?, status: Int)] = [
                ("own node", try pki.node("node-a"), 200),
                ("other node", try pki.node("node-b"), 403),
                ("no group", try pki.client(commonName: "system:node:node-a", organizations: []), 403),
                ("administrator", try pki.client(commonName: "admin", organizations: ["system:masters"]), 200),
                ("expired", try pki.node("node-a", notAfter: expired), 401),
                ("wrong usage", try pki.node("node-a", usage: .server), 401),
                ("foreign authority", try LabPKI().node("node-a"), 401),
                ("none", nil, 401),
            ]
            for client in clients {
                let answered = try await status(cluster, client.credential)
                #expect(answered == client.status, "\(client.name)")
            }
            #expect(cluster.kubernetesServer.requests.events.first?.user == "system:node:node-a")
        }
    }

    @Test func aCertificateExpiresOnAnOpenConnection() async throws {
        try await withCluster { cluster in
            let credential = try cluster.pki.node("node-a", notAfter: Date(timeIntervalSinceNow: 600))
            let url = "\(cluster.kubernetesURL)/api/v1/pods?fieldSelector=spec.nodeName=node-a"
            try await withClient(authorityPEM: cluster.pki.authorityPEM, credential: credential) { client in
                let before = try await client.get(url).0
                #expect(before == 200)
                cluster.clock.advance(by: .seconds(601))
                let after = try await client.get(url).0
                #expect(after == 401)
            }
            #expect(cluster.kubernetesServer.acceptedConnections == 1)
        }
    }

    @Test func writesAndRotatesTheKubeletsFiles() async throws {
        try await withCluster { cluster in
            let path = cluster.kubelet.currentCertificatePath
            let manager = FileManager.default
            let first = try manager.destinationOfSymbolicLink(atPath: path)
            #expect(first.hasPrefix("kubelet-client-"))
            let before = try String(contentsOfFile: path, encoding: .utf8)
            #expect(before.contains("BEGIN CERTIFICATE") && before.contains("BEGIN EC PRIVATE KEY"))
            let mode = try manager.attributesOfItem(atPath: "\(cluster.configuration.directory)/pki/\(first)")
            #expect(mode[.posixPermissions] as? Int == 0o600)
            let kubeconfig = try String(contentsOfFile: cluster.kubeconfigPath, encoding: .utf8)
            #expect(kubeconfig.contains("    client-certificate: \(path)\n    client-key: \(path)\n"))
            #expect(kubeconfig.contains("server: \(cluster.kubernetesURL)\n"))
            try cluster.rotateNodeCertificate(notAfter: Date(timeIntervalSinceNow: 60))
            let second = try manager.destinationOfSymbolicLink(atPath: path)
            #expect(second != first)
            let after = try String(contentsOfFile: path, encoding: .utf8)
            #expect(after != before)
            let unchanged = try String(contentsOfFile: cluster.kubeconfigPath, encoding: .utf8)
            #expect(unchanged == kubeconfig)
            let token = cluster.kubernetes.addNodeToken(for: "node-a")
            let tokenConfig = try cluster.kubelet.writeTokenKubeconfig(token: token, server: cluster.kubernetesURL)
            #expect(try String(contentsOfFile: tokenConfig, encoding: .utf8).contains("    tokenFile: "))
        }
    }

    @Test func watchesOverTheNetwork() async throws {
        try await withCluster { cluster in
            let url = "\(cluster.kubernetesURL)/api/v1/pods?fieldSelector=spec.nodeName=node-a&watch=true"
            let credential = try cluster.pki.node("node-a")
            try await withClient(authorityPEM: cluster.pki.authorityPEM, credential: credential) { client in
                cluster.kubernetes.createPod(namespace: "x", name: "one", node: "node-a")
                let response = try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(60))
                var lines = ""
                for try await chunk in response.body {
                    lines += String(buffer: chunk)
                    if lines.contains("\"one\""), !lines.contains("\"two\"") {
                        cluster.kubernetes.createPod(namespace: "x", name: "two", node: "node-a")
                    } else {
                        // A clean end: the loop would throw on a broken one.
                        cluster.kubernetes.restart()
                    }
                }
                #expect(
                    lines.split(separator: "\n").map { WatchReader.summary(String($0)) } == ["ADDED one", "ADDED two"])
            }
        }
    }

    @Test func leavesNoDescriptorBehind() async {
        // In a process of its own: other suites open descriptors meanwhile.
        await #expect(processExitsWith: .success) {
            func useCluster() async throws -> Int {
                let suite = ClusterTests()
                try await suite.withCluster { cluster in
                    _ = try await suite.status(cluster, cluster.pki.node("node-a"))
                    cluster.kubernetesServer.faults.inject(.hang)
                    let credential = try cluster.pki.node("node-a")
                    try await withClient(authorityPEM: cluster.pki.authorityPEM, credential: credential) { client in
                        _ = try? await client.get(cluster.kubernetesURL, within: .milliseconds(50))
                    }
                }
                return try open()
            }
            func open() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
            // The first use starts event loops, which stay. It may also count connections that are about to close: a leak of one
            // descriptor in each use must exceed those.
            let before = try await useCluster()
            for _ in 0..<20 { _ = try await useCluster() }
            var after = try await useCluster()
            // A busy machine closes the last connections a little later. What leaks stays.
            let deadline = ContinuousClock.now + .seconds(60)
            while after > before, ContinuousClock.now < deadline {
                await Task.yield()
                after = try open()
            }
            precondition(after <= before, "\(before) descriptors became \(after)")
        }
    }
}
