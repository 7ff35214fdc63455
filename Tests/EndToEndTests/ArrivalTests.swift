import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// Connections that the kernel redirects and that do not arrive: seen by readiness, `explain`, `check` and the metrics.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ArrivalTests {
    private static let port = AgentProcess.port
    /// A filter inside a pod that does not let the loopback interface be.
    private static let filter = """
        table inet own { chain out { type filter hook output priority 0; tcp dport \(port) drop; }; }
        """
    /// Firewalls of the node that let nothing of a pod's in, nor through.
    private static let firewall = """
        table inet lab { chain input { type filter hook input priority 0; iifname "br0" drop; }; \
        chain forward { type filter hook forward priority 0; policy drop; }; }
        """

    private static func inNode(_ world: LabWorld, _ command: String...) async throws {
        try await Command.require(["nsenter", "--net=\(world.node.network.path)", "--"] + command)
    }

    /// Connects without waiting for an answer, so often that the kernel's count is no chance.
    private static func connect(_ pod: RunningPod, times: Int = 4) async throws {
        for _ in 0..<times {
            _ = try await pod.run(
                "curl", "-s", "-o", "/dev/null", "--connect-timeout", "0.2", "http://\(LabNode.metadataAddress)/")
        }
    }

    /// Reads again for at most a minute.
    private static func eventually<Value>(
        _ read: () async throws -> Value, until isExpected: (Value) -> Bool
    ) async throws -> Value {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while true {
            let value = try await read()
            if isExpected(value) || ContinuousClock.now > deadline { return value }
        }
    }

    @Test("F4: firewalls of the node that let nothing of a pod's through are nothing to its connections")
    func nodeFirewall() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            try await Self.inNode(world, "nft", Self.firewall)
            let pod = try await world.addPod("a", serviceAccount: "app")
            #expect(try await pod.ask().status == 200)
            let ping = try await pod.run("curl", "-s", "--connect-timeout", "0.2", "http://\(LabNode.address):10250/")
            #expect(ping.status == 28)
        }
    }

    @Test(
        "filters inside pods that drop what the pods send to the agent are seen and named, and forgotten when they go")
    func filters() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pods = [
                try await world.addPod("a", serviceAccount: "app"), try await world.addPod("b", serviceAccount: "app"),
            ]
            for pod in pods { #expect(try await pod.ask().status == 200) }
            for pod in pods {
                #expect(try await pod.run("nft", Self.filter).status == 0)
                try await Self.connect(pod)
            }
            let unready = try await Self.eventually({ try await world.operations("/readyz") }) { $0.status == 503 }
            #expect(
                unready.body.contains("[-]arrivals connections of default/a, default/b are redirected"), "\(unready)")

            let explained = try await world.debug(agent, "explain", "default/a", "-o", "json")
            let explanation = try JSONDecoder().decode(Explanation.self, from: Data(explained.output.utf8))
            #expect(explanation.cause?.name == "arrivals", "\(explanation.text())")
            #expect(explanation.cause?.detail.contains("none of the last 4") == true, "\(explanation.text())")
            #expect(explanation.cause?.remedy?.contains("interface lo") == true)

            let connections = try await world.debug(agent, "connections", "-o", "json", as: ConnectionDump.self)
            let pod = try #require(connections.pods.first { $0.pod == "a" })
            #expect(try #require(pod.redirected) == (try #require(pod.arrived)) + 4)
            let listener = try #require(pod.listeners?.first)
            let place = "; the agent listens at \(listener.networkNamespace):\(listener.port)"
            #expect(explanation.cause?.detail.hasSuffix(place) == true, "\(explanation.text())")
            let metrics = try await world.operations("/metrics")
            #expect(metrics.body.contains("\npodidentd_pods_not_arriving 2\n"))

            for pod in pods { _ = try await pod.run("nft", "delete", "table", "inet", "own") }
            for pod in pods { #expect(try await pod.ask().status == 200) }
            let ready = try await Self.eventually({ try await world.operations("/readyz") }) { $0.status == 200 }
            #expect(ready.status == 200, "\(ready)")
        }
    }

    @Test("one pod that breaks its own way is named, and the node stays ready")
    func onePod() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let broken = try await world.addPod("broken", serviceAccount: "app")
            let sound = try await world.addPod("sound", serviceAccount: "app")
            _ = try await broken.run("nft", Self.filter)
            try await Self.connect(broken)
            let metrics = try await Self.eventually({
                #expect(try await sound.ask().status == 200)
                return try await world.operations("/metrics")
            }) { $0.body.contains("\npodidentd_pods_not_arriving 1\n") }
            #expect(metrics.body.contains("\npodidentd_pods_not_arriving 1\n"))
            #expect(try await agent.status().podsNotArriving == ["default/broken"])
            let ready = try await Self.eventually({
                #expect(try await sound.ask().status == 200)
                return try await world.operations("/readyz")
            }) { $0.status == 200 }
            #expect(ready.status == 200, "\(ready)")
        }
    }
}
