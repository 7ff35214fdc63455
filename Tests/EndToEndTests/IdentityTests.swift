import Foundation
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
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
}
