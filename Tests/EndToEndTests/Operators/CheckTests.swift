import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `podidentd check` on real nodes in the states that an operator meets.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct CheckTests {
    private static func command(_ world: LabWorld, _ arguments: [String]) throws -> [String] {
        let path = world.node.directory + "/check.yaml"
        try LabWorld.yaml(world.agentConfiguration).write(toFile: path, atomically: true, encoding: .utf8)
        return ["nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd", "check"]
            + ["--config", path] + arguments
    }

    /// Runs the check as the agent's container would, and makes sure that it left nothing.
    private static func check(_ world: LabWorld, _ arguments: String...) async throws -> CheckOutcome {
        let result = try await Command.run(try command(world, ["--output", "json"] + arguments))
        #expect(try leftovers(world) == [], "cgroups are left behind")
        #expect(result.errorOutput == "")
        return try CheckOutcome(result)
    }

    private static func leftovers(_ world: LabWorld) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: world.node.cgroupDirectory(world.node.kubepods))
            .filter { $0.hasPrefix("podidentd-check") }
    }

    private static func detach(_ hook: String, _ world: LabWorld) throws {
        try PinnedLink.detach(at: world.pinDirectory + "/links/" + hook)
    }

    private static func withPod(_ body: (LabWorld, AgentProcess) async throws -> Void) async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            _ = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            try await settle(agent)
            try await body(world, agent)
        }
    }

    /// Asks the agent, for at most a minute, until it has seen the pod: readiness does not wait for that.
    private static func settle(_ agent: AgentProcess) async throws {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while try await agent.status().pods < 1 {
            guard ContinuousClock.now < deadline else { throw LabError("the agent did not see the pod in a minute") }
        }
    }

    @Test("a healthy node is healthy, in every item")
    func healthy() async throws {
        try await Self.withPod { world, agent in
            let outcome = try await Self.check(world, "--online")
            #expect(outcome.status == 0, "\(outcome.complaints)")
            #expect(outcome.posture.verdict == .healthy)
            let redirected = try outcome.item("connections.tcp.169.254.169.254:80")
            #expect(redirected.found.contains("redirected to the agent at 127.0.0.1:\(AgentProcess.port)"))
            #expect(redirected.found.contains("status 403"))
            #expect(try outcome.item("connections.tcp.[fd20:ce::254]:80").found.contains("[::1]"))
            #expect(try outcome.item("connections.tcp.[::ffff:169.254.169.254]:80").state == .ok)
            #expect(try outcome.item("connections.udp.169.254.169.254:53").found.contains("open"))
            #expect(
                try outcome.item("credentials.identity").found.hasPrefix(
                    "system:node:\(LabWorld.nodeName), in system:nodes"))
            #expect(try outcome.item("credentials.token").found.contains("default/a"))
            #expect(try outcome.item("google.sts").state == .ok)
            let host = LabKernel.hasNetfilterLinks ? "BPF" : "nftables table inet podidentd"
            #expect(try outcome.item("guards.host").found.contains(host))
            #expect(try outcome.item("guards.frames").found.contains("dropped and counted"))
            #expect(world.cluster.trap?.connections == 0)
            // Nothing of the check stays in the agent.
            #expect(try await agent.status().pods == 1)
        }
    }

    @Test("the text says the same, without colour in a pipe, and shows no token")
    func text() async throws {
        try await Self.withPod { world, _ in
            let result = try await Command.run(try Self.command(world, []))
            #expect(result.status == 0, "\(result.output)")
            #expect(result.output.hasSuffix(" ok, 1 untried)\n") && result.output.contains(": healthy ("))
            #expect(!result.output.contains("\u{1b}") && !result.output.contains("eyJ"))
            #expect(result.output.contains("\nHooks\n") && result.output.contains("hooks.connect6"))
        }
    }

    @Test("before the installation it says so, and still judges kernel and credentials")
    func notInstalled() async throws {
        try await withWorld { world in
            let outcome = try await Self.check(world)
            #expect(outcome.posture.verdict == .notInstalled)
            #expect(outcome.status == 1)
            #expect(try outcome.item("hooks.connect4").found == "not installed")
            #expect(try outcome.item("connections").found == "not installed")
            #expect(try outcome.item("kernel.btf").state == .ok)
            #expect(try outcome.item("credentials.identity").state == .ok)
            #expect(world.cluster.trap?.connections == 0)
            #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
        }
    }

    @Test("with the agent killed, pods are seen to be refused, and the agent to be missing")
    func killed() async throws {
        try await Self.withPod { world, agent in
            await agent.kill()
            let outcome = try await Self.check(world)
            #expect(outcome.status == 1, "\(outcome.complaints)")
            #expect(try outcome.item("agent.reachable").state == .degraded)
            #expect(
                try outcome.item("connections.tcp.169.254.169.254:80").found
                    == "refused, as it must be while no agent runs")
            #expect(outcome.complaints.split(separator: "\n").count == 1, "\(outcome.complaints)")
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("a hook that is gone is named, and the way that it leaves open is not tried")
    func missingHook() async throws {
        try await Self.withPod { world, _ in
            try Self.detach("connect6", world)
            let outcome = try await Self.check(world)
            #expect(outcome.status == 2, "\(outcome.complaints)")
            #expect(try outcome.item("hooks.connect6").state == .unsafe)
            let way = try outcome.item("connections.tcp.[fd20:ce::254]:80")
            #expect(way.state == .unsafe && way.found.contains("connect6"))
            #expect(try outcome.item("connections.tcp.169.254.169.254:80").state == .ok)
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("a node without its host guard is degraded")
    func missingGuard() async throws {
        try await Self.withPod { world, _ in
            if LabKernel.hasNetfilterLinks {
                try Self.detach("forward4", world)
            } else {
                try await world.node.removeHostGuardTable()
            }
            let outcome = try await Self.check(world)
            #expect(outcome.status == 1, "\(outcome.complaints)")
            let item = try outcome.item("guards.host")
            #expect(item.state == .degraded && item.meaning.contains("CAP_NET_RAW"))
        }
    }

    @Test("the nftables form of the host guard is found, and uninstall removes it")
    func table() async throws {
        try await withAgent(["guard.mechanism": "nftables"]) { world, agent in
            world.addServiceAccount("app")
            _ = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            try await Self.settle(agent)
            let outcome = try await Self.check(world)
            #expect(outcome.status == 0, "\(outcome.complaints)")
            #expect(try outcome.item("guards.host").found.contains("nftables table inet podidentd"))
            await agent.kill()
            // The guard outlives the agent.
            #expect(try await Self.check(world).item("guards.host").state == .ok)
            let inNode = ["nsenter", "--net=\(world.node.network.path)", "--"]
            let uninstall =
                inNode + [world.binaries + "/podidentd", "uninstall", "--pin-directory", world.pinDirectory]
            #expect(try await Command.require(uninstall).contains("removed table inet podidentd\n"))
            #expect(try await Command.require(inNode + ["nft", "list", "ruleset"]) == "")
        }
    }

    @Test("packets that nothing drops are told: the check is made where the guard is not")
    func framesPass() async throws {
        try await Self.withPod { world, _ in
            let pod = try await world.addPod("elsewhere")
            let inPod = ["nsenter", "--net=\(pod.network.path)", "--"]
            let arguments = Array(try Self.command(world, ["--output", "json"]).drop { $0 != "--" }.dropFirst())
            let outcome = try CheckOutcome(await Command.run(inPod + arguments))
            let item = try outcome.item("guards.frames")
            #expect(item.state == .unsafe && item.found.hasPrefix("2 of 2 packets"), "\(item)")
        }
    }

    @Test("an audience without its rule is named with the rule to add")
    func audience() async throws {
        try await Self.withPod { world, _ in
            world.cluster.kubernetes.revokeAudience()
            let outcome = try await Self.check(world)
            #expect(outcome.status == 1, "\(outcome.complaints)")
            let item = try outcome.item("credentials.token")
            #expect(item.state == .degraded)
            for word in [
                "request-serviceaccounts-token-audience", world.cluster.configuration.providerName, "system:nodes",
            ] {
                #expect(item.meaning.contains(word), "\(item.meaning)")
            }
        }
    }

    @Test("an expired certificate is named")
    func expired() async throws {
        try await Self.withPod { world, _ in
            try world.cluster.rotateNodeCertificate(notAfter: Date(timeIntervalSinceNow: -60))
            let outcome = try await Self.check(world)
            #expect(outcome.status == 1, "\(outcome.complaints)")
            let item = try outcome.item("credentials.certificate")
            #expect(item.state == .degraded && item.found.hasPrefix("expired at "))
            #expect(try outcome.item("credentials.identity").state == .degraded)
        }
    }

    @Test("a check that is told to end takes its cgroup and its process along")
    func interrupted() async throws {
        try await Self.withPod { world, agent in
            // An agent that answers no client keeps the probing process waiting.
            kill(agent.processIdentifier, SIGSTOP)
            defer { kill(agent.processIdentifier, SIGCONT) }
            let directory = world.node.cgroupDirectory(world.node.kubepods)
            let running = try Command(Self.command(world, ["--output", "json"]))
            var process = ""
            let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
            while process.isEmpty, ContinuousClock.now < deadline {
                for name in try Self.leftovers(world) {
                    process = (try? String(contentsOfFile: "\(directory)/\(name)/cgroup.procs", encoding: .utf8)) ?? ""
                }
            }
            try #require(!process.isEmpty)
            running.signal(SIGTERM)
            #expect(await running.result().status == 128 + SIGTERM)
            #expect(try Self.leftovers(world) == [])
            let number = try #require(Int32(process.split(separator: "\n").first ?? ""))
            #expect(kill(number, 0) != 0)
        }
    }

    /// Runs the check on the node with nothing but where this lab's node keeps its files: what differs from a real node.
    private static func bareCheck(_ world: LabWorld) async throws -> CheckOutcome {
        let places = [
            "cgroup.mount-point", "cgroup.kubepods", "bpf.pin-directory", "admin.socket", "kubernetes.kubeconfig",
        ]
        let options = places.flatMap { ["--set", "\($0)=\(world.agentConfiguration[$0] ?? "")"] }
        return try CheckOutcome(
            try await Command.run(
                [
                    "nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd", "check", "-o",
                    "json",
                ]
                    + options))
    }

    @Test(
        "before the installation, without a configuration, all missing keys are named at once, and the rest is checked")
    func bareNode() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            _ = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            let outcome = try await Self.bareCheck(world)
            #expect(outcome.posture.verdict == .notInstalled && outcome.status == 1)
            let missing = try outcome.item("configuration.missing").found
            for key in ["node-name", "google.provider", "google.project-id"] {
                #expect(missing.contains(key), "\(missing)")
            }
            #expect(try outcome.item("kernel.btf").state == .ok)
            #expect(try outcome.item("credentials.identity").state == .ok, "\(outcome.complaints)")
            #expect(try outcome.item("credentials.pods").state == .ok)
        }
    }

    @Test("on the node, without a configuration, the running agent says what is missing, and the check is healthy")
    func bareNodeWithAgent() async throws {
        try await Self.withPod { world, _ in
            let outcome = try await Self.bareCheck(world)
            #expect(outcome.status == 0, "\(outcome.complaints)")
            #expect(try outcome.item("configuration.agent").found.contains("node-name"))
            #expect(try outcome.item("credentials.token").state == .ok)
        }
    }

    @Test("an audience that RBAC limits to namespaces is judged by the pods that it is for")
    func audienceByNamespace() async throws {
        try await Self.withPod { world, _ in
            let kubernetes = world.cluster.kubernetes
            kubernetes.createServiceAccount(namespace: "shop", name: "web")
            _ = try await world.addPod("web-1", namespace: "shop", serviceAccount: "web", isHostNetwork: true)
            kubernetes.revokeAudience()
            kubernetes.allowAudience(world.cluster.configuration.providerName, namespace: "shop")
            let limited = try await Self.check(world)
            #expect(limited.status == 0, "\(limited.complaints)")
            let item = try limited.item("credentials.token")
            #expect(item.found.contains("shop/web-1") && item.meaning.contains("default/a"), "\(item)")
            #expect(!item.meaning.contains("No pod"))
        }
    }

    @Test("a wrong configuration is a usage error")
    func usage() async throws {
        try await withWorld { world in
            let result = try await Command.run(try Self.command(world, ["--set", "listen.prot=1"]))
            #expect(result.status == 64)
            #expect(result.errorOutput.hasPrefix("Error: listen.prot"))
        }
    }
}
