import AgentTesting
import Foundation
import Lab
import Testing

/// A node reboots: no hook outlives that, and its pods start before the agent.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct RebootTests {
    private static let pods = 100

    @Test("R20: with the boot guard 0 of 100 pods reach the machine's own metadata server while the node boots")
    func guarded() async throws {
        try await withWorld { world in
            let node = RebootingNode(world)
            let pods = try await node.run(Self.pods)
            try await node.installGuard()
            try await node.reboot(pods)
            try await node.loadUnit()

            // A service of the host is no pod, and goes on using the machine's server.
            #expect(try await node.hostService().contains("200"))
            let contacts = world.cluster.trap?.contacts.total
            let clients = try pods.map { try node.ask($0) }
            try await node.waitForDrops(atLeast: 50)
            let agent = try await world.startAgent()
            var served = 0
            for (pod, client) in zip(pods, clients) {
                let answer = await client.result()
                if answer.output.contains("ya29.") { served += 1 }
                #expect(!answer.output.contains("TRAP"), "\(pod.name): \(answer.output)")
            }
            print("REBOOT with the boot guard: 0 of \(Self.pods) pods met the machine's server, \(served) served")
            #expect(served == Self.pods)
            #expect(world.cluster.trap?.contacts.total == contacts)
            #expect(agent.log.events.contains { $0.contains("boot guard handed over to the hooks and removed") })
            #expect(try await !node.rules().contains("podidentd_boot"))
            await agent.stop()

            let removed = try await Command.require(world.uninstallCommand + ["--host-root", node.root])
            #expect(removed.contains("podidentd-boot-guard.service"))
            let left = try await Command.require(["find", node.root, "-not", "-type", "d"])
            #expect(left.isEmpty, "\(left)")
        }
    }

    @Test("without the boot guard some pods reach the machine's own metadata server, until the hooks are attached")
    func unguarded() async throws {
        try await withWorld { world in
            let node = RebootingNode(world)
            let pods = try await node.run(10)
            try await node.reboot(pods)
            let clients = try pods.map { try node.ask($0) }
            var met = 0
            for client in clients where await client.result().output.contains("TRAP") { met += 1 }
            print("REBOOT without the boot guard: \(met) of \(pods.count) pods met the machine's server")
            #expect(met > 0)
            let agent = try await world.startAgent()
            #expect(try await pods[0].token().expiresIn > 0)
            await agent.stop()
        }
    }

    @Test("an agent whose hooks cannot be attached leaves the boot guard where it is")
    func staysWithoutHooks() async throws {
        try await withWorld { world in
            let node = RebootingNode(world)
            let pods = try await node.run(2)
            try await node.installGuard()
            try await node.reboot(pods)
            try await node.loadUnit()
            let contacts = world.cluster.trap?.contacts.total
            let agent = try world.launchAgent(
                [:],
                prefix: [
                    "setpriv", "--bounding-set", "-all,+net_admin,+dac_override,+dac_read_search", "--inh-caps", "-all",
                ])
            let ended = await agent.result()
            #expect(ended.status != 0, "\(ended.errorOutput)")
            for pod in pods {
                let answer = try await pod.run("curl", "-s", "--max-time", "1", "http://169.254.169.254/")
                #expect(answer.status == 28, "\(answer.status)")
            }
            #expect(world.cluster.trap?.contacts.total == contacts)
        }
    }

    @Test("the unit is one that systemd accepts, and does nothing where hooks are pinned")
    func unit() async throws {
        try await withWorld { world in
            let node = RebootingNode(world)
            try await node.installGuard()
            let unit = try String(contentsOfFile: node.root + RebootingNode.unitPath, encoding: .utf8)
            #expect(unit.contains("ConditionPathExists=!\(world.pinDirectory)/links/connect4\n"))
            #expect(unit.contains("Before=kubelet.service "))
            let verdict = try await Command.run(["systemd-analyze", "verify", node.root + RebootingNode.unitPath])
            #expect(verdict.status == 0, "\(verdict.errorOutput)")
            let wants = node.root + "/etc/systemd/system/multi-user.target.wants/podidentd-boot-guard.service"
            #expect(FileManager.default.contents(atPath: wants) == Data(unit.utf8))
        }
    }
}

extension RebootingNode {
    /// Runs an agent and pods, which outlive the reboot: half of them with the node's network.
    func run(_ count: Int) async throws -> [RunningPod] {
        let agent = try await world.startAgent()
        world.addServiceAccount("app")
        var pods: [RunningPod] = []
        for number in 0..<count {
            pods.append(
                try await world.addPod("pod-\(number)", serviceAccount: "app", isHostNetwork: number % 2 == 1))
        }
        await agent.kill()
        return pods
    }
}
