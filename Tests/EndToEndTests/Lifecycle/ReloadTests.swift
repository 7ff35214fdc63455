import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// SIGHUP: the configuration is read again, and what can change under a running agent does.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ReloadTests {
    @Test("a rule that denies a live pod counts from the reload on, and until it is taken back")
    func policies() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", labels: ["tier": "locked"])
            let other = try await world.addPod("b", serviceAccount: "app")
            _ = try await pod.token()
            let rules: [String: String?] = ["policies": "[{policy: deny, labels: tier=locked}]"]
            try await agent.reload(world, rules)
            #expect(
                agent.log.events.last { $0.contains("configuration reloaded") }?.contains("applied=policies") == true)
            try await agent.settled { $0.policies == 1 }
            #expect(try await pod.isRefused())
            #expect(try await other.token().expiresIn > 0)
            #expect(try await agent.settings()["policies"]?.contains("tier=locked") == true)
            // A pod that comes later is read by the new rules as well.
            let late = try await world.addPod("c", serviceAccount: "app", labels: ["tier": "locked"])
            try await agent.settled { $0.policies == 2 }
            #expect(try await late.isRefused())

            try await agent.reload(world, [:])
            try await agent.settled { $0.policies == 0 }
            #expect(try await pod.token().expiresIn > 0)
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("while the API server is away the old rules stand, and the new ones count as soon as it is back")
    func withoutServer() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", labels: ["tier": "locked"])
            _ = try await pod.token()
            await world.cluster.kubernetesServer.takeDown()
            try await agent.reload(world, ["policies": "[{policy: deny, labels: tier=locked}]"])
            try await agent.log.first(within: .seconds(60)) { $0.contains("pods cannot be listed") }
            #expect(try await pod.token().expiresIn > 0)
            try await world.cluster.kubernetesServer.bringUp()
            try await agent.settled { $0.policies == 1 }
            #expect(try await pod.isRefused())
        }
    }

    @Test("a file with an error in it changes nothing, and is one line in the log")
    func badFile() async throws {
        try await withAgent(["policies": "[{policy: deny, namespace: locked}]"]) { world, agent in
            let denied = try await world.addPod("a", namespace: "locked")
            try await agent.settled { $0.policies == 1 }
            let path = world.agentConfigurationPath
            let good = try String(contentsOfFile: path, encoding: .utf8)
            let bad = ["log:\n  level: loud\n", "log: [\n", String?.none]
            for (number, text) in bad.enumerated() {
                if let text {
                    try (good.replacing("policies:", with: "#") + text).write(
                        toFile: path, atomically: true, encoding: .utf8)
                } else {
                    try FileManager.default.removeItem(atPath: path)
                }
                agent.signal(SIGHUP)
                try await agent.log.wait { $0.count { $0.contains("was not reloaded") } > number }
            }
            let errors = agent.log.events.filter { $0.contains(" error ") }
            #expect(errors.count == bad.count, "\(errors)")
            #expect(errors.allSatisfy { $0.contains("send SIGHUP again") && $0.contains(path) }, "\(errors)")
            #expect(errors[0].contains("log.level") && errors[0].contains("'loud'"))
            #expect(!agent.log.events.contains { $0.contains("configuration reloaded") })
            #expect(try await agent.status().policies == 1)
            #expect(try await denied.isRefused())
        }
    }

    @Test("what cannot change is named in one warning, and the rest is applied")
    func unchangeable() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            #expect(try await pod.ask().status == 200)
            #expect(!agent.log.events.contains { $0.contains("token minted") })
            for _ in 1...2 {
                try await agent.reload(
                    world, ["listen.port": "9299", "shutdown.drain-seconds": "7", "log.level": "debug"])
            }
            let warnings = agent.log.events.filter { $0.contains("restart the agent to apply") }
            #expect(warnings.count == 2, "once for each reload: \(warnings)")
            #expect(
                warnings.allSatisfy { $0.contains("restart the agent to apply: listen.port, shutdown.drain-seconds") },
                "\(warnings)")
            let settings = try await agent.settings()
            #expect(settings["listen.port"] == "\(AgentProcess.port)" && settings["log.level"] == "debug")
            // The level counts for loggers that were there before.
            let new = try await world.addPod("b", serviceAccount: "app", isHostNetwork: true)
            #expect(try await new.ask().status == 200)
            try await agent.log.first { $0.contains("token minted") }
            try await agent.reload(world, ["log.level": "error"])
            #expect(try await agent.settings()["log.level"] == "error")
        }
    }

    @Test("Events can be switched off and on")
    func events() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let events = world.cluster.kubernetes.events
            for (name, isOn) in [("a", true), ("b", false), ("c", true)] {
                try await agent.reload(world, ["kubernetes.events": "\(isOn)"])
                let pod = try await world.addPod(name, serviceAccount: "app", isHostNetwork: true)
                #expect(try await pod.ask(accountPath + "identity?audience=x").status != 200)
                if isOn { try await events.first { $0["involvedObject"]?["name"]?.string == name } }
            }
            #expect(events.events.map { $0["involvedObject"]?["name"]?.string } == ["a", "c"])
        }
    }
}

extension AgentProcess {
    /// Changes the configuration file, and has the agent read it.
    fileprivate func reload(_ world: LabWorld, _ changes: [String: String?]) async throws {
        let settings = try await settings()
        let known = log.events.count { $0.contains("configuration reloaded") }
        let values = try world.writeAgentConfiguration(changes)
        signal(SIGHUP)
        // The log may be silent by now.
        guard values["log.level"] != "error" else {
            let deadline = ContinuousClock.now + .seconds(60)
            while try await self.settings() == settings {
                guard ContinuousClock.now < deadline else { throw LabError("not reloaded within a minute") }
            }
            return
        }
        try await log.wait { $0.count { $0.contains("configuration reloaded") } > known }
    }

    /// The settings in force, by key.
    fileprivate func settings() async throws -> [String: String] {
        struct Setting: Decodable {
            var key: String
            var value: String?
        }
        let data = Data(try await AdminClient(socketPath: adminSocket).get("/debug/config"))
        let settings = try JSONDecoder().decode([Setting].self, from: data)
        return Dictionary(settings.compactMap { setting in setting.value.map { (setting.key, $0) } }) { $1 }
    }
}
