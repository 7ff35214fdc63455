import Foundation
import Lab
import Testing

/// A ServiceAccount's annotation changes while its pod runs.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct AnnotationTests {
    private static let first = "first@lab-project.iam.gserviceaccount.com"
    private static let second = "second@lab-project.iam.gserviceaccount.com"

    /// What the annotation says before and after; `nil`: absent.
    private static let changes: [(String?, String?)] = [(nil, first), (first, second), (second, nil)]

    @Test(arguments: changes)
    func `case 83 a changed annotation is followed within 2 s, and the old account never comes back`(
        _ before: String?, _ after: String?
    ) async throws {
        try await withAgent { world, _ in
            let pod = try await pod(of: world, before)
            #expect(try world.owner(of: try await pod.ask()).account == before)
            let changed = ContinuousClock.now
            annotate(world, after)
            var accounts: [String?] = []
            var followed: Duration?
            // On beyond the limit, to see that nothing goes back.
            while ContinuousClock.now - changed < .seconds(3) {
                let account = try world.owner(of: try await pod.ask()).account
                accounts.append(account)
                if account == after, followed == nil { followed = ContinuousClock.now - changed }
            }
            let late = try #require(followed)
            #expect(late < .seconds(2.2), "the answer that began within 2 s may end a little later")
            #expect(accounts.drop { $0 == before }.allSatisfy { $0 == after }, "\(accounts)")
            print("ANNOTATION \(before ?? "none") -> \(after ?? "none"): followed after \(late.text)")
        }
    }

    @Test func `case 83 a pod that asks seldom gets the new account's token first`() async throws {
        try await withAgent { world, _ in
            let pod = try await pod(of: world, Self.first)
            #expect(try world.owner(of: try await pod.ask()).account == Self.first)
            let changed = ContinuousClock.now
            annotate(world, Self.second)
            // The limit itself: a request after it must not see the old account.
            try await Task.sleep(until: changed + .seconds(2), clock: .continuous)
            #expect(try world.owner(of: try await pod.ask()).account == Self.second)
            #expect(try await pod.ask(accountPath + "email").body == Self.second)
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
