import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `kubectl exec ... podidentd check` in the agent's hardened container: healthy on a sound node, and no fault unnamed.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ContainerCheckTests {
    private static func withContainer(
        manifest: String = AgentContainer.hardened, _ body: (AgentContainer) async throws -> Void
    ) async throws {
        try await withWorld { world in
            let container = try await AgentContainer.start(in: world, manifest: manifest)
            do {
                try await body(container)
            } catch {
                print("the agent said: \(container.agent.log.events.joined(separator: "\n"))")
                throw error
            }
            await container.agent.stop()
        }
    }

    @Test(
        "on a sound node the check of the agent's own pod is healthy, and ends with 0",
        arguments: [AgentContainer.hardened, "deploy/golden/kubeadm.yaml"])
    func healthy(manifest: String) async throws {
        try await Self.withContainer(manifest: manifest) { container in
            try await container.waitUntil(ready: true)
            let outcome = try await container.check("--online")
            #expect(outcome.status == 0, "\(outcome.complaints)")
            #expect(outcome.posture.verdict == .healthy)
            for address in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd20:ce::254]"] {
                let found = try outcome.item("connections.tcp.\(address):80").found
                #expect(found.contains("answers with this pod's own UID \(container.pod.uid)"), "\(found)")
            }
            #expect(try outcome.item("agent.connection").found.contains("answered with this pod's UID"))
            // The hardened pod has no CAP_NET_RAW to try it with.
            let raw = try outcome.item("connections.raw.169.254.169.254:80")
            #expect(raw.state == (manifest == AgentContainer.hardened ? .untried : .ok))
            #expect(container.world.cluster.trap?.connections == 0)
        }
    }

    @Test("a fault is named, and the node not called healthy", arguments: ContainerFault.all)
    func fault(_ fault: ContainerFault) async throws {
        try await Self.withContainer { container in
            try await container.waitUntil(ready: true)
            #expect(try await container.workload.ask().status == 200)
            let before = try await container.check()
            #expect(before.status == 0, "\(before.complaints)")
            try await fault.inject(container)
            let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
            var outcome = try await container.check()
            while outcome.items.first(where: { $0.id == fault.item })?.state ?? .ok == .ok,
                ContinuousClock.now < deadline
            {
                outcome = try await container.check()
            }
            #expect(outcome.status != 0 && outcome.posture.verdict != .healthy)
            let item = try outcome.item(fault.item)
            #expect(item.state == .degraded || item.state == .unsafe, "\(outcome.complaints)")
            for word in fault.words { #expect("\(item.found) \(item.meaning)".contains(word), "\(item)") }
            #expect(container.world.cluster.trap?.connections == 0)
        }
    }
}
