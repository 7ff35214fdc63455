import Foundation
import Lab
import Operations
import Testing

/// `kubectl exec ... podidentd check` in the agent's hardened container: healthy on a sound node, and no fault unnamed.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct ContainerCheckTests {
    private static func withContainer(
        _ changes: [String: String?] = [:], _ body: (AgentContainer) async throws -> Void
    ) async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            _ = try await world.addPod("a", serviceAccount: "app")
            let container = try await AgentContainer.start(in: world, changes)
            do {
                try await body(container)
            } catch {
                print("the agent said: \(container.agent.log.events.joined(separator: "\n"))")
                throw error
            }
            await container.agent.stop()
        }
    }

    @Test("on a sound node the check of the hardened agent's own pod is healthy, and ends with 0")
    func healthy() async throws {
        try await Self.withContainer { container in
            try await container.waitUntil(ready: true)
            let outcome = try await container.check("--online")
            #expect(outcome.status == 0, "\(outcome.complaints)")
            #expect(outcome.posture.verdict == .healthy)
            for address in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd20:ce::254]"] {
                let found = try outcome.item("connections.tcp.\(address):80").found
                #expect(found.contains("answers with this pod's own UID \(container.pod.uid)"), "\(found)")
            }
            #expect(try outcome.item("agent.connection").found.contains("answered with this pod's UID"))
            #expect(try outcome.item("connections.raw.169.254.169.254:80").state == .untried)
            #expect(container.world.cluster.trap?.connections == 0)
        }
    }
}
