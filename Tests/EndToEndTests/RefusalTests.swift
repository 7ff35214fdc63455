import AgentTesting
import Foundation
import Lab
import Testing

/// Every final no names its cause and what to do, and no token is minted past it.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct RefusalTests {
    private static let account = "app@lab-project.iam.gserviceaccount.com"

    @Test("an audience that RBAC does not grant to the node names the rule to add")
    func audience() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            world.cluster.kubernetes.revokeAudience()
            let answer = try await refused(world, 403)
            #expect(answer.body.contains("request-serviceaccounts-token-audience"))
            #expect(answer.body.contains(world.cluster.configuration.providerName))
            #expect(answer.body.contains("system:nodes"))
        }
    }

    @Test("a ServiceAccount that is deleted gives no more tokens, cached or not, after 2 s")
    func deletedServiceAccount() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            _ = try await pod.token()
            world.cluster.kubernetes.deleteServiceAccount(namespace: "default", name: "app")
            let end = try await pod.ask(within: .seconds(60)) { $0.status != 200 }.answer
            #expect(end.status == 403)
            #expect(end.body.contains("(default/app), or the pod, does not exist any more"))
            let answer = try await refused(world, 403)
            #expect(answer.body.contains("serviceaccounts \"app\" not found"))
        }
    }

    @Test("a cluster whose nodes may not read ServiceAccounts is named as the cause")
    func unreadableServiceAccounts() async throws {
        try await withAgent(configure: { $0.kubernetes.nodesReadServiceAccounts = false }) { world, agent in
            world.addServiceAccount("app")
            let answer = try await refused(world, 403)
            #expect(answer.body.contains("not allowed to get service accounts"))
            try await agent.log.first { $0.contains("not allowed to get service accounts") }
        }
    }

    @Test("a pod recreated under its name leaves the old one nothing", arguments: [Duration.zero, .seconds(3600)])
    func recreatedPod(watchDelay: Duration) async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            let before = try await pod.token()
            world.cluster.kubernetes.setWatchDelay(watchDelay)
            world.cluster.kubernetes.deletePod(namespace: "default", name: "a", .force)
            let newUID = world.cluster.kubernetes.createPod(
                namespace: "default", name: "a", serviceAccount: "app", node: LabWorld.nodeName)
            if watchDelay == .zero {
                let answer = try await pod.ask(within: .seconds(60)) { $0.status != 200 }.answer
                #expect(answer.status == 403)
                #expect(answer.body.contains("is gone"))
            } else {
                // While the watch is late the API server itself refuses to bind a new token to the old UID.
                let scopes = "?scopes=https://www.googleapis.com/auth/devstorage.read_only"
                let answer = try await pod.ask(tokenPath + scopes)
                #expect(answer.status == 403)
                #expect(answer.body.contains("the UID in the bound object reference (\(pod.uid))"))
            }
            #expect(world.cluster.ledger.describe(before.accessToken)?.subject.podUID == pod.uid)
            #expect(!world.cluster.kubernetes.mints.events.contains { $0.podUID == newUID })
        }
    }

    @Test("a pod that the API has on another node gets nothing here", arguments: [Duration.zero, .seconds(3600)])
    func otherNode(watchDelay: Duration) async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            _ = try await pod.ask("/computeMetadata/v1/project/project-id")
            world.cluster.kubernetes.setWatchDelay(watchDelay)
            world.cluster.kubernetes.addNode("node-b")
            world.cluster.kubernetes.updatePod(namespace: "default", name: "a") { $0.nodeName = "node-b" }
            // "no relationship" may mean an API server that has just started: the first answer may be "try again".
            let answer = try await pod.ask(within: .seconds(60)) { $0.status != 503 }.answer
            #expect(answer.status == 403)
            if watchDelay != .zero { #expect(answer.body.contains("no relationship found between node 'node-a'")) }
            #expect(world.cluster.kubernetes.mints.total == 0)
        }
    }

    @Test("a pod that has finished is refused, and one that is finishing is not")
    func finishedPod() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            _ = try await pod.token()
            world.cluster.kubernetes.deletePod(namespace: "default", name: "a", .graceful(seconds: 30))
            #expect(try await pod.ask().status == 200)
            world.cluster.kubernetes.updatePod(namespace: "default", name: "a") { $0.phase = "Succeeded" }
            let answer = try await pod.ask(within: .seconds(60)) { $0.status != 200 }.answer
            #expect(answer.status == 403)
            #expect(answer.body.contains("default/a is in phase Succeeded"))
        }
    }

    @Test("a static pod has no ServiceAccount and is told so")
    func staticPod() async throws {
        try await withAgent { world, _ in
            let hash = "0123456789abcdef0123456789abcdef"
            world.cluster.kubernetes.createPod(
                namespace: "kube-system", name: "etcd-node-a", node: LabWorld.nodeName, staticConfigHash: hash)
            let pod = try await world.node.addPod(
                RunningPodSpecification(name: "etcd-node-a", namespace: "kube-system", uid: hash, isHostNetwork: true))
            let answer = try await pod.ask()
            #expect(answer.status == 403)
            #expect(answer.body.contains("kube-system/etcd-node-a is a static pod"))
            #expect(answer.body.contains("no ServiceAccount"))
        }
    }

    @Test("an account without a binding is IAM's 403, with the role and the member to grant")
    func unboundAccount() async throws {
        try await withAgent { world, _ in
            world.cluster.iamCredentials.createAccount(Self.account)
            annotate(world, Self.account)
            let answer = try await refused(world, 403)
            #expect(answer.body.hasPrefix("Unable to generate access token; IAM returned 403 Forbidden: "))
            for words in [
                "iam.serviceAccounts.getAccessToken", "roles/iam.workloadIdentityUser", Self.account, "default/app",
                "principal://iam.googleapis.com/projects/\(LabWorld.projectNumber)/locations/global"
                    + "/workloadIdentityPools/lab-pool/subject/ns/default/sa/app",
            ] { #expect(answer.body.contains(words), "\(words)") }
        }
    }

    @Test("an account that does not exist is IAM's 404")
    func missingAccount() async throws {
        try await withAgent { world, _ in
            annotate(world, Self.account)
            let answer = try await refused(world, 404)
            #expect(answer.body.hasPrefix("Unable to generate access token; IAM returned 404 Not Found: "))
            #expect(answer.body.contains("Not found; Gaia id not found for email \(Self.account)"))
        }
    }

    @Test("an annotation that is no account is refused before it leaves the node")
    func invalidAnnotation() async throws {
        let values = ["nonsense", "a@b@c", "a b@c.iam.gserviceaccount.com", "../../x@y", "a@b/../c"]
        _ = try await concurrently(values, limit: 4) { value in
            try await withAgent { world, _ in
                annotate(world, value)
                let answer = try await refused(world, 400)
                #expect(answer.body.contains("iam.gke.io/gcp-service-account"), "\(value)")
                #expect(answer.body.contains("default/app"), "\(value)")
                #expect(world.cluster.iamCredentialsServer.requests.total == 0, "\(value)")
            }
        }
    }

    @Test("a provider that is disabled or deleted is named")
    func disabledProvider() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let name = world.cluster.configuration.providerName
            world.cluster.securityTokenService.updateProvider(name) { $0.isEnabled = false }
            let answer = try await refused(world, 403)
            #expect(answer.body.contains("invalid_target"))
            #expect(answer.body.contains(name))
        }
    }

    @Test("an attribute condition that rejects is named")
    func rejectingCondition() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let name = world.cluster.configuration.providerName
            world.cluster.securityTokenService.updateProvider(name) { $0.condition = { _ in false } }
            let answer = try await refused(world, 403)
            #expect(answer.body.contains("unauthorized_client"))
            #expect(answer.body.contains("attribute condition"))
        }
    }

    private func annotate(_ world: LabWorld, _ value: String) {
        world.cluster.kubernetes.createServiceAccount(
            namespace: "default", name: "app", annotations: ["iam.gke.io/gcp-service-account": value])
    }

    /// The answer to a new pod of ServiceAccount `app`, which must be `status`, hold no token, and not be tried again.
    private func refused(_ world: LabWorld, _ status: Int) async throws -> MetadataResponse {
        let pod = try await world.addPod("refused", serviceAccount: "app", isHostNetwork: true)
        let answer = try await pod.ask()
        #expect(answer.status == status)
        #expect(world.cluster.securityTokenServiceServer.requests.total <= 1)
        #expect(world.cluster.iamCredentialsServer.requests.total <= 1)
        #expect(answer.headers["retry-after"] == nil, "waiting changes nothing")
        for secret in ["ya29.", "eyJ"] { #expect(!answer.body.contains(secret)) }
        #expect(world.cluster.trap?.connections == 0)
        return answer
    }
}
