import AgentTesting
import Foundation
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct IdentityTests {
    @Test("a pod receives a token that was exchanged for its own UID", arguments: CgroupLayout.allCases)
    func ownToken(layout: CgroupLayout) async throws {
        try await withAgent(layout: layout) { world, _ in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let pod = try await world.addPod("a", quality: .burstable)
            let token = try await pod.token()
            let record = try #require(world.cluster.ledger.describe(token.accessToken))
            #expect(record.subject.podUID == pod.uid)
            #expect(token.tokenType == "Bearer")
            #expect((3300...3600).contains(token.expiresIn))
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    /// The level of kubepods is the kernel's. By one counted from a path no process of a nested node would be a pod's. This pod
    /// would reach the machine's own metadata server.
    @Test("a hostNetwork pod receives its own token, and never the machine's", arguments: CgroupLayout.allCases)
    func hostNetwork(layout: CgroupLayout) async throws {
        try await withAgent(layout: layout) { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            let record = try world.owner(of: try await pod.ask())
            #expect(record.subject.podUID == pod.uid)
            await agent.stop()
            #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").status == 7)
            #expect(world.cluster.trap?.connections == 0)
        }
    }
}
