import AgentTesting
import Foundation
import Lab
import Testing

/// A ServiceAccount's annotation changes while its pod runs.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct AnnotationTests {
    private static let first = "first@lab-project.iam.gserviceaccount.com"
    private static let second = "second@lab-project.iam.gserviceaccount.com"

    /// The annotation's value before and after; `nil`: absent.
    private static let changes: [(String?, String?)] = [(nil, first), (first, second), (second, nil)]

    @Test func `case 83 a changed annotation is followed within 2 s, and the old account never comes back`()
        async throws
    {
        // In worlds of their own: each is watched for three seconds.
        _ = try await concurrently(Self.changes, limit: Self.changes.count) { before, after in
            try await followed(before, after)
        }
    }

    private func followed(_ before: String?, _ after: String?) async throws {
        try await withAgent { world, _ in
            let pod = try await pod(of: world, before)
            #expect(try world.owner(of: try await pod.ask()).account == before)
            annotate(world, after)
            let changed = ContinuousClock.now
            var accounts: [String?] = []
            // On beyond the limit, to see that nothing goes back.
            while ContinuousClock.now - changed < .seconds(3) {
                let begun = ContinuousClock.now - changed
                let account = try world.owner(of: try await pod.ask()).account
                accounts.append(account)
                #expect(account == after || begun < .seconds(2), "a request that began 2 s later got the old one's")
            }
            let change = "\(before ?? "none") to \(after ?? "none")"
            #expect(accounts.drop { $0 == before }.allSatisfy { $0 == after }, "\(change): \(accounts)")
            let owner = try world.owner(of: try await pod.ask()).account
            #expect(owner == after, "\(change)")
        }
    }

    private func pod(of world: LabWorld, _ account: String?) async throws -> RunningPod {
        for email in [Self.first, Self.second] {
            world.cluster.iamCredentials.allowImpersonation(
                of: email, by: .serviceAccount(namespace: "default", name: "app"))
        }
        world.addServiceAccount("app", impersonating: account)
        return try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
    }

    private func annotate(_ world: LabWorld, _ account: String?) {
        world.cluster.kubernetes.annotate(
            namespace: "default", serviceAccount: "app", "iam.gke.io/gcp-service-account", account)
    }
}
