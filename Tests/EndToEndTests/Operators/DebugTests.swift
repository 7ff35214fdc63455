import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The debug commands as an operator runs them, beside a running agent and without one.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct DebugTests {
    @Test("cgroups shows every pod and container with its ServiceAccount, as table, tree and JSON, filtered")
    func cgroups() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await world.addPod("b", namespace: "other", serviceAccount: "app", quality: .guaranteed)
            _ = try await pod.token()
            let dump = try await world.debug(agent, "cgroups", "-o", "json", as: CgroupDump.self)
            #expect(dump.source == .agent && dump.node == LabWorld.nodeName)
            #expect(dump.rows.count == 4)
            #expect(dump.rows.filter { $0.uid == pod.uid }.map(\.pod) == ["a", "a"])
            #expect(dump.rows.contains { $0.container == pod.containerID && $0.serviceAccount == "app" })

            let filtered = try await world.debug(
                agent, "cgroups", "-o", "json", "--namespace", "default", "--pod", "a", as: CgroupDump.self)
            #expect(Set(filtered.rows.map(\.uid)) == [pod.uid])
            let id = try #require(dump.rows.first { $0.container == pod.containerID }).cgroupID
            let one = try await world.debug(agent, "cgroups", "--cgroup-id", "\(id)", "-o", "json", as: CgroupDump.self)
            #expect(one.rows.map(\.cgroupID) == [id])
            let table = try await world.debug(agent, "cgroups", "--uid", pod.uid).output
            #expect(table.contains("2 of 4 cgroups") && table.contains(pod.containerID.prefix(12)))
            let tree = try await world.debug(agent, "cgroups", "-o", "tree").output
            #expect(tree.contains("─ default/a as app [") && tree.contains("─ other/b as app ["))
            #expect(!(table + tree).contains("\u{1b}"), "no colours off a terminal")
        }
    }

    @Test("without an agent cgroups and connections read the kernel, and say so")
    func agentDown() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            await agent.kill()
            let result = try await world.debug(agent, "cgroups", "-o", "json")
            let dump = try JSONDecoder().decode(CgroupDump.self, from: Data(result.output.utf8))
            #expect(result.status == 0)
            #expect(dump.source == .kernel && dump.kubepods == world.node.kubepods)
            #expect(dump.rows.map(\.uid) == [pod.uid, pod.uid])
            #expect(dump.rows.allSatisfy { $0.state == .unverified && $0.pod == nil })
            for words in [agent.adminSocket, "no agent answers", "pods are refused until it runs"] {
                #expect(result.errorOutput.contains(words), "\(result.errorOutput)")
            }
            let named = try await world.debug(agent, "cgroups", "--pod", "a")
            #expect(named.status != 0 && named.errorOutput.contains("--uid"))
            let counts = try await world.debug(agent, "connections", "-o", "json", as: ConnectionDump.self)
            #expect(counts.source == .kernel && counts.pods.map(\.uid) == [pod.uid])
            let tokens = try await world.debug(agent, "tokens")
            #expect(tokens.status != 0 && tokens.errorOutput.contains(agent.adminSocket))
        }
    }

    @Test("a watch prints what comes and goes, a line each, and outlives the agent")
    func watch() async throws {
        try await withAgent { world, agent in
            let first = try await world.addPod("a")
            // Standard output onto standard error, whose lines can be waited for.
            let watch = try Command([
                "sh", "-c", "exec \"$@\" >&2", "sh", world.binaries + "/podidentd", "debug", "cgroups", "--watch",
                "--interval", "0.1", "--config", agent.configurationPath,
            ])
            try await watch.errorLines.first { $0.contains(first.uid) }
            let second = try await world.addPod("b")
            try await watch.errorLines.first { $0.contains(" + ") && $0.contains(second.uid) }
            await world.deletePod(first)
            try await watch.errorLines.first { $0.contains(" - ") && $0.contains(first.uid) }
            await agent.kill()
            try await watch.errorLines.first { $0.contains("no agent answers") }
            try await watch.errorLines.first { $0.contains(" ~ ") && $0.contains("unverified") }
            watch.signal(SIGTERM)
            _ = await watch.result()
            #expect(!watch.errorLines.events.joined().contains("\u{1b}"))
        }
    }

    @Test("connections counts a pod's open connections, their age, requests and destination")
    func connections() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            let client = try pod.start([
                "bash", "-c",
                """
                exec 3<> /dev/tcp/169.254.169.254/80
                printf 'GET / HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nMetadata-Flavor: Google\\r\\n\\r\\n' >&3
                head -c 15 <&3 >&2; echo >&2; exec cat <&3 > /dev/null
                """,
            ])
            try await client.errorLines.first { $0.hasPrefix("HTTP/1.1 200") }
            let dump = try await world.debug(agent, "connections", "-o", "json", as: ConnectionDump.self)
            let row = try #require(dump.connections.first)
            #expect(dump.connections.count == 1 && row.pod == "a" && row.uid == pod.uid)
            #expect(row.requests == 1 && row.state == "idle" && row.destination == "169.254.169.254:80")
            #expect(dump.pods.map(\.open) == [1] && dump.pods.map(\.arrived) == [1])
            let listener = try #require(dump.pods.first?.listeners?.first)
            #expect(dump.pods.first?.listeners?.count == 1)
            #expect(listener.port == AgentProcess.port && listener.ipv4 && listener.ipv6)
            let attributes = try FileManager.default.attributesOfItem(atPath: pod.network.path)
            #expect((attributes[.systemFileNumber] as? Int) == Int(listener.networkNamespace))
            let table = try await world.debug(agent, "connections").output
            #expect(table.contains("169.254.169.254:80"))
            client.signal(SIGKILL)
            _ = await client.result()
        }
    }

    @Test("tokens names everything about a token but the token, and the last failure")
    func tokens() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app", impersonating: "app@p.iam.gserviceaccount.com")
            let pod = try await world.addPod("a", serviceAccount: "app")
            let token = try await pod.token().accessToken
            world.cluster.iamCredentialsServer.faults.inject(
                .status(403, body: #"{"error":{"message":"the lab says no"}}"#))
            _ = try await pod.curl("/computeMetadata/v1/instance/service-accounts/default/identity?audience=https://x")
            let result = try await world.debug(agent, "tokens", "-o", "json")
            let dump = try JSONDecoder().decode(TokenDump.self, from: Data(result.output.utf8))
            #expect(dump.entries.map(\.kind) == ["access", "federation", "identity"])
            let access = try #require(dump.entries.first)
            #expect(access.namespace == "default" && access.pod == "a" && access.serviceAccount == "app")
            #expect(access.target == "app@p.iam.gserviceaccount.com" && access.state == "fresh")
            #expect((3500...3600).contains(try #require(access.expiresInSeconds)))
            let identity = try #require(dump.entries.last)
            #expect(identity.audience == "https://x" && identity.state == "failed")
            #expect(identity.lastFailure?.status == 403 && identity.lastFailure?.message == "the lab says no")
            let table = try await world.debug(agent, "tokens").output
            for text in [result.output, table] { #expect(!text.contains(token) && !text.contains("ya29")) }
        }
    }

    @Test("a bundle is a private file that holds everything but secrets")
    func bundle() async throws {
        try await withAgent(["log.level": "trace"]) { world, agent in
            world.addServiceAccount("app", impersonating: "app@p.iam.gserviceaccount.com")
            let pod = try await world.addPod("a", serviceAccount: "app")
            let secrets = [try await pod.token().accessToken, "ya29.", "eyJ", "PRIVATE KEY"]
            let path = world.node.directory + "/bundle.tar"
            let result = try await world.debug(agent, "bundle", "--file", path)
            #expect(result.status == 0, "\(result.errorOutput)")
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            let again = try await world.debug(agent, "bundle", "--file", path)
            #expect(again.status != 0 && again.errorOutput.contains("exists"), "nothing is overwritten")

            let names = try await Command.require(["tar", "-tf", path]).split(separator: "\n").map { $0.dropFirst(16) }
            #expect(
                names == [
                    "about.txt", "status.json", "config.json", "cgroups.json", "connections.json", "tokens.json",
                    "log.json",
                ])
            let text = try await Command.require(["tar", "-xOf", path])
            for word in ["Linux version", "google.provider", pod.uid, "token minted", "\"fresh\""] {
                #expect(text.contains(word), "\(word)")
            }
            for secret in secrets { #expect(!text.contains(secret), "\(secret.prefix(8))") }
            await agent.kill()
            try FileManager.default.removeItem(atPath: path)
            let absent = try await world.debug(agent, "bundle", "--file", path)
            #expect(absent.status == 0 && absent.errorOutput.contains("holds what the kernel knows"), "\(absent)")
            let rest = try await Command.require(["tar", "-xOf", path])
            #expect(rest.contains("no agent answers") && rest.contains(pod.uid))
        }
    }
}

extension LabWorld {
    /// Runs `podidentd debug` with the configuration of `agent`.
    func debug(_ agent: AgentProcess, _ arguments: String...) async throws -> CommandResult {
        try await Command.run(
            [binaries + "/podidentd", "debug"] + arguments + ["--config", agent.configurationPath])
    }

    func debug<View: Decodable>(_ agent: AgentProcess, _ arguments: String..., as type: View.Type) async throws -> View
    {
        let output = try await Command.require(
            [binaries + "/podidentd", "debug"] + arguments + ["--config", agent.configurationPath])
        return try JSONDecoder().decode(type, from: Data(output.utf8))
    }
}
