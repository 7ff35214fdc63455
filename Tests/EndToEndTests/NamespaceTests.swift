import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The agent's listeners inside the pods' network namespaces: where they are, when they end, and what becomes of them with
/// the process that opens them.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct NamespaceTests {
    /// The opener below the agent.
    private static func opener(of agent: Int32) throws -> Int32 {
        let children = try String(contentsOfFile: "/proc/\(agent)/task/\(agent)/children", encoding: .utf8)
        let found = children.split(separator: " ").compactMap { Int32($0) }.first { child in
            (try? String(contentsOfFile: "/proc/\(child)/comm", encoding: .utf8)) == "podidentd-opene\n"
        }
        return try #require(found)
    }

    @Test("a pod's end frees its network namespace: nothing of the agent's keeps it")
    func end() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            #expect(try await agent.status().namespaces == 2)
            func links() async throws -> Int {
                try await Command.require(["ip", "-n", world.node.network.name, "-o", "link", "show", "type", "veth"])
                    .split(separator: "\n").count
            }
            #expect(try await links() == 1)
            let start = ContinuousClock.now
            await world.deletePod(pod)
            // This end of the pair goes with the namespace of the other.
            try await world.eventually("the namespace is still there") { try await links() == 0 }
            print("NAMESPACE freed \((ContinuousClock.now - start)) after the deletion began")
            #expect(try await agent.status().namespaces == 1)
        }
    }

    @Test(
        "a pod that ends the agent's listeners in its namespace harms itself alone, and is served again after a while")
    func ended() async throws {
        try await withAgent { world, agent in
            for name in ["app", "other"] { world.addServiceAccount(name) }
            let pod = try await world.addPod("a", serviceAccount: "app")
            let other = try await world.addPod("b", serviceAccount: "other")
            let onHost = try await world.addPod("c", serviceAccount: "other", isHostNetwork: true)
            for pod in [pod, other, onHost] { _ = try await pod.token() }
            // SOCK_DESTROY of sock_diag(7), which CAP_NET_ADMIN over the namespace allows.
            let end = ["ss", "--kill", "--listening", "--tcp", "sport", "=", ":\(AgentProcess.port)"]
            for pod in [pod, onHost] {
                let listed = try await Command.require(pod.commandLine(end))
                #expect(listed.contains(":\(AgentProcess.port)"), "\(listed)")
            }
            try await world.eventually("the agent has not noticed") {
                try await agent.status().incidents["listener_ended", default: 0] == 2
            }
            #expect(try await other.token().expiresIn > 0)
            for pod in [onHost, pod] {
                try await world.eventually("\(pod.name) is not served again") { (try? await pod.token()) != nil }
            }
            #expect(try await agent.status().incidents["accept_failed"] == 0)
        }
    }

    @Test("pods that run before the agent, and pods that come later, are served without a held connection")
    func early() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let before = try await world.addPod("before", serviceAccount: "app")
            let agent = try await world.startAgent()
            let after = try await world.addPod("after", serviceAccount: "app")
            for pod in [before, after] { #expect(try await pod.token().expiresIn > 0) }
            #expect(try await agent.status().kernel["held"] == 0)
            await agent.stop()
        }
    }

    @Test("an IPv6-only pod gets its token at the IPv4 and at the IPv6 address, unconfigured")
    func onlyIPv6() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            try await pod.network.ip("addr del \(pod.address)/16 dev eth0")
            #expect(try await pod.token().expiresIn > 0)
            let result = try await pod.run(
                "curl", "-s", "-H", "Metadata-Flavor: Google", "http://[\(LabNode.metadataAddress6)]\(Self.token)")
            #expect(result.output.contains("access_token"), "\(result)")
        }
    }

    @Test("a pod whose IPv6 is off gets its token at both addresses")
    func onlyIPv4() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            for host in ["169.254.169.254", "[\(LabNode.metadataAddress6)]"] {
                let result = try await pod.run(
                    "curl", "-s", "-H", "Metadata-Flavor: Google", "http://\(host)\(Self.token)")
                // Without any route for IPv6 curl does not even try.
                if result.status == 7, host.hasPrefix("[") { continue }
                #expect(result.output.contains("access_token"), "\(host): \(result)")
            }
        }
    }

    @Test(
        "a namespace that gets IPv6 later gets its listener at ::1 as well, with and without handles of namespaces",
        arguments: [false, true])
    func completed(byProcess: Bool) async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            let directory = world.binaries + "/by-process"
            let agent = try world.launchAgent(prefix: byProcess ? try Self.openingByProcess(world, directory) : [])
            defer { try? FileManager.default.removeItem(atPath: directory) }
            try await agent.waitUntilReady()
            #expect(try await agent.status().namespacesBy == (byProcess ? "/proc/PID/ns/net" : "nsfs handles"))
            #expect(try await pod.token().expiresIn > 0)
            func listening() async throws -> String {
                try await Command.require(["nsenter", "--net=\(pod.network.path)", "ss", "-Htln"])
            }
            let port = AgentProcess.port
            let before = try await listening()
            #expect(before.contains("127.0.0.1%lo:\(port)") && !before.contains("[::1]%lo:\(port)"), "\(before)")
            _ = try await pod.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
            try await world.eventually("no listener at ::1") { try await listening().contains("[::1]%lo:\(port)") }
            await agent.stop()
        }
    }

    /// A command that runs an agent whose opener takes the kernel for one without handles.
    ///
    /// Made in `directory`, beside the binaries: a hard link does not leave its file system.
    private static func openingByProcess(_ world: LabWorld, _ directory: String) throws -> [String] {
        try? FileManager.default.removeItem(atPath: directory)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try FileManager.default.linkItem(atPath: world.binaries + "/podidentd", toPath: directory + "/podidentd")
        let script = "#!/bin/sh\nexec \(world.binaries)/podidentd-opener by-process\n"
        try Data(script.utf8).write(to: URL(fileURLWithPath: directory + "/podidentd-opener"))
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: directory + "/podidentd-opener")
        return ["sh", "-c", #"shift; exec "$0" "$@""#, directory + "/podidentd"]
    }

    private static let token = "/computeMetadata/v1/instance/service-accounts/default/token"

    @Test("without its opener the agent ends, and says why")
    func openerKilled() async throws {
        try await withWorld { world in
            let agent = try await world.startAgent()
            kill(try Self.opener(of: agent.processIdentifier), SIGKILL)
            let result = await agent.result()
            #expect(result.status != 0)
            #expect(result.errorOutput.contains("Error: podidentd-opener has ended"), "\(result.errorOutput)")
        }
    }

    @Test("below its supervisor the agent comes back with another opener, and no connection is refused")
    func openerKilledSupervised() async throws {
        try await withWorld { world in
            let agent = try world.launchSupervised()
            try await agent.waitUntilReady()
            let load = try await Load(world)
            try await agent.answered(atLeast: 400)
            kill(try Self.opener(of: try agent.supervised()), SIGKILL)
            try await agent.restarted(1)
            // A namespace that is new needs the new opener.
            let late = try await world.addPod("late", serviceAccount: "tokens")
            #expect(try await late.token().expiresIn > 0)
            try await agent.answered(atLeast: 400)
            for report in try await load.reports() {
                #expect(report.correct > 100 && report.wrong == 0 && report.refused == 0, "\(report)")
            }
            await agent.stop()
        }
    }

    @Test("a replaced agent that loses its opener waits for its successor's end all the same")
    func openerKilledAfterHandover() async throws {
        try await withWorld { world in
            let first = try world.launchAgent(["shutdown.drain-seconds": "60"], options: ["--supervised"])
            try await first.waitUntilReady()
            let pod = try await world.addPod("a", isHostNetwork: true)
            // The first agent waits for one more request of this connection, and looks at its opener meanwhile.
            let client = try await pod.keepConnection()
            let second = try await world.startAgent()
            try await first.log.first { $0.contains("handed over to a successor") }
            kill(try Self.opener(of: first.processIdentifier), SIGKILL)
            try await first.log.first { $0.contains("no listener can be opened any more") }
            client.signal(SIGTERM)
            try await first.log.first { $0.contains("a part failed after the hand-over") }
            try await first.log.first { $0.contains("replaced; waiting") }
            #expect(first.isRunning)
            await second.stop()
            #expect(await first.result().status == 0)
        }
    }

    @Test("the opener holds its capabilities and no other while it serves the agent")
    func rights() async throws {
        try await withAgent { _, agent in
            let opener = try Self.opener(of: agent.processIdentifier)
            let status = try String(contentsOfFile: "/proc/\(opener)/status", encoding: .utf8)
            // CAP_NET_BIND_SERVICE (10) and CAP_SYS_ADMIN (21); CAP_SYS_PTRACE (19) where there are no nsfs handles.
            let kept = try await agent.status().namespacesBy == "nsfs handles" ? "0000000000200400" : "0000000000280400"
            for line in [
                "CapEff:\t\(kept)", "CapPrm:\t\(kept)", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
            ] {
                #expect(status.contains(line), "\(line) in \(status)")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(opener)/fd").count == 5)
        }
    }
}
