import AgentTesting
import Foundation
import Lab
import Testing

/// The SPIFFE endpoint with everything real: pods, redirect, agent, signer, go-spiffe.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SpiffeTests {
    @Test("go-spiffe over link-local TCP gets the pod's own X.509-SVID, bundle and JWT-SVID")
    func goClient() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let svid = try await pod.spiffe("svid")
            #expect(svid["id"]?.string == "spiffe://lab.example/ns/default/sa/web")
            #expect((80_000...86_400).contains(try #require(svid["seconds"]?.integer)))
            let bundles = try await pod.spiffe("bundles")
            #expect(bundles["spiffe://lab.example"]?.strings?.count == 1)
            let token = try await pod.spiffe("jwt", "https://vault.example", "https://other.example")
            #expect(token["id"]?.string == "spiffe://lab.example/ns/default/sa/web")
            let claims = try #require(token["claims"])
            #expect(claims["aud"]?.strings == ["https://other.example", "https://vault.example"])
            #expect(claims["kubernetes.io"]?["pod"]?["uid"]?.string == pod.uid)
            #expect(claims["kubernetes.io"]?["node"]?["name"]?.string == LabWorld.nodeName)
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("go-spiffe through an AF_INET6 socket to the mapped address")
    func mappedAddress() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let svid = try await pod.spiffe("svid", endpoint: "tcp://[::ffff:169.254.169.254]:9256")
            #expect(svid["id"]?.string == "spiffe://lab.example/ns/default/sa/web")
            let six = try await pod.spiffe("svid", endpoint: "tcp://[fd20:ce::254]:9256")
            #expect(six["id"]?.string == "spiffe://lab.example/ns/default/sa/web")
        }
    }

    @Test("two pods of one ServiceAccount share the ID and nothing else; a hostNetwork pod has its own ID")
    func twoPods() async throws {
        try await withSigner { world, _, _ in
            for name in ["web", "node-exporter"] { world.addServiceAccount(name) }
            let first = try await world.addPod("a", serviceAccount: "web")
            let second = try await world.addPod("b", serviceAccount: "web")
            let host = try await world.addPod("c", serviceAccount: "node-exporter", isHostNetwork: true)
            let answers = try await [first, second, host].asyncMap { try await $0.spiffe("svid") }
            #expect(answers[0]["id"] == answers[1]["id"])
            #expect(answers[0]["serial"] != answers[1]["serial"])
            #expect(answers[0]["chain"]?.strings?.first != answers[1]["chain"]?.strings?.first)
            #expect(answers[2]["id"]?.string == "spiffe://lab.example/ns/default/sa/node-exporter")
        }
    }

    @Test("two workloads speak mutual TLS with their SVIDs, and a third is refused")
    func handshake() async throws {
        try await withSigner { world, _, _ in
            for name in ["server", "client", "other"] { world.addServiceAccount(name) }
            let server = try await world.addPod("s", serviceAccount: "server")
            let client = try await world.addPod("c", serviceAccount: "client")
            let other = try await world.addPod("o", serviceAccount: "other")
            let id = "spiffe://lab.example/ns/default/sa/"
            let serving = try server.start(Self.command("serve", "\(server.address):7000", id + "client"))
            try await serving.errorLines.first(within: .seconds(60)) { $0.contains("listening") }
            let answer = try await client.spiffe("dial", "\(server.address):7000", id + "server")
            #expect(answer["answer"]?.string == "answer to hello\n")
            let refused = try await Command.run(
                other.commandLine(Self.command("dial", "\(server.address):7000", id + "server")))
            #expect(!refused.succeeded)
            // The client refuses a server that is another than it asked for.
            let wrong = try await Command.run(
                client.commandLine(Self.command("dial", "\(server.address):7000", id + "other")))
            #expect(!wrong.succeeded && wrong.errorOutput.contains("unexpected ID"), "\(wrong.errorOutput)")
            serving.signal(SIGKILL)
            _ = await serving.result()
        }
    }

    static func command(_ arguments: String...) -> [String] {
        ["env", "SPIFFE_ENDPOINT_SOCKET=\(LabSigner.endpoint)", ClientPath.go] + arguments
    }
}

/// Where the real clients lie.
enum ClientPath {
    static var root: String { repositoryFolder }
    static var go: String { root + "/.build/clients/go-spiffe" }
    static var python: String { root + "/.build/clients/venv/bin/python" }

    /// Whether the foreign programs of `.ci/setup-spiffe` are there.
    static var hasForeignPrograms: Bool {
        ["envoy", "bao", "google-auth-2.49"].allSatisfy {
            FileManager.default.fileExists(atPath: root + "/.build/clients/" + $0)
        }
    }
}

/// Runs `body` in a world with a signer and an agent that serves the SPIFFE endpoint.
func withSigner(
    _ changes: [String: String?] = [:], options: [String] = [],
    _ body: (LabWorld, AgentProcess, LabSigner) async throws -> Void
) async throws {
    try await withWorld { world in
        let signer = try await LabSigner.start(in: world, options: options)
        do {
            let agent = try await world.startAgent(signer.agentConfiguration.merging(changes) { $1 })
            do {
                try await body(world, agent, signer)
            } catch {
                print(agent.log.events.joined(separator: "\n"))
                await agent.kill()
                throw error
            }
            await agent.stop()
        } catch {
            print(signer.log.events.joined(separator: "\n"))
            await signer.kill()
            throw error
        }
        await signer.stop()
    }
}

extension RunningPod {
    /// Runs go-spiffe's client inside the pod, and reads its one line.
    func spiffe(_ arguments: String..., endpoint: String = LabSigner.endpoint) async throws -> JSON {
        let result = try await Command.run(
            commandLine(["env", "SPIFFE_ENDPOINT_SOCKET=\(endpoint)", ClientPath.go] + arguments))
        guard result.succeeded else { throw LabError("go-spiffe \(arguments): \(result.errorOutput)") }
        return try JSON(parsing: Array(result.output.utf8))
    }
}

extension Array {
    func asyncMap<Value>(_ transform: (Element) async throws -> Value) async throws -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}

/// The Unix socket, for clients that know no other.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SpiffeSocketTests {
    static func withSocket(
        _ changes: [String: String?] = [:], _ body: (LabWorld, AgentProcess, String) async throws -> Void
    ) async throws {
        try await withWorld { world in
            let signer = try await LabSigner.start(in: world)
            let socket = world.node.directory + "/spiffe/agent.sock"
            var configuration = signer.agentConfiguration
            configuration["spiffe.socket"] = socket
            let agent = try await world.startAgent(configuration.merging(changes) { $1 })
            try await world.ending(agent, signer) { try await body(world, agent, socket) }
        }
    }

    @Test("3: py-spiffe and go-spiffe over the Unix socket get their own pod's identity")
    func clients() async throws {
        try await Self.withSocket { world, _, socket in
            for name in ["web", "other"] { world.addServiceAccount(name) }
            let pod = try await world.addPod("a", serviceAccount: "web")
            let other = try await world.addPod("b", serviceAccount: "other")
            let program = ClientPath.root + "/Tests/Clients/python/spiffe_svid.py"
            for (pod, account) in [(pod, "web"), (other, "other")] {
                let id = "spiffe://lab.example/ns/default/sa/\(account)"
                let result = try await pod.run(
                    "env", "SPIFFE_ENDPOINT_SOCKET=unix://\(socket)", ClientPath.python, program)
                try #require(result.succeeded, "\(result.errorOutput)")
                let answer = try JSON(parsing: Array(result.output.utf8))
                #expect(answer["id"]?.string == id && answer["token_id"]?.string == id)
                #expect(answer["checked_id"]?.string == id)
                #expect(answer["key_matches"]?.bool == true && answer["authorities"]?.integer == 1)
                #expect(try await pod.spiffe("svid", endpoint: "unix://\(socket)")["id"]?.string == id)
            }
        }
    }

    @Test(
        "28: a process of the machine is closed unread, also one in a pod's namespaces"
    )
    func outsiders() async throws {
        try await Self.withSocket { world, _, socket in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let client = ["env", "SPIFFE_ENDPOINT_SOCKET=unix://\(socket)", "CLIENT_SECONDS=3", ClientPath.go, "svid"]
            // Each tries for three seconds.
            async let inPod = Command.run(["nsenter", "--net=\(pod.network.path)", "--"] + client)
            let host = try await Command.run(client)
            #expect(!host.succeeded && !host.output.contains("spiffe://"))
            let entered = try await inPod
            #expect(!entered.succeeded && !entered.output.contains("spiffe://"))
            #expect(try await pod.spiffe("svid", endpoint: "unix://\(socket)")["id"]?.string?.hasSuffix("/web") == true)
            // Deeper cgroups, which the workload may make and name, are still the pod's.
            let nested = pod.containerCgroup + "/kubepods-burstable-pod00000000_0000_0000_0000_000000000001.slice"
            try FileManager.default.createDirectory(
                atPath: world.node.cgroupDirectory(nested), withIntermediateDirectories: true)
            let result = try await Command.run(pod.commandLine(client, cgroup: nested))
            #expect(result.output.contains("spiffe://lab.example/ns/default/sa/web"), "\(result.errorOutput)")
        }
    }

    @Test("7: the socket can be opened by everybody, and lies in a directory that no other user writes to")
    func modes() async throws {
        try await Self.withSocket { _, _, socket in
            let file = try FileManager.default.attributesOfItem(atPath: socket)
            #expect((file[.posixPermissions] as? Int) == 0o666)
            let folder = try FileManager.default.attributesOfItem(
                atPath: (socket as NSString).deletingLastPathComponent)
            #expect((folder[.posixPermissions] as? Int) == 0o755)
        }
    }
}
