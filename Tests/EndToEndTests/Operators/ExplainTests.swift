import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `debug explain` names the true cause of every broken set-up, and what repairs it.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ExplainTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        /// The stage that must be the cause, and words of its detail and fix.
        var stage: String
        var words: [String]
        /// The argument of the command.
        var query = "default/a"
        var configure: @Sendable (inout LabCluster.Configuration) -> Void = { _ in }
        var changes: @Sendable (LabWorld) throws -> [String: String?] = { _ in [:] }
        var breaks: @Sendable (LabWorld, RunningPod) async throws -> Void
    }

    private static let account = "app@lab-project.iam.gserviceaccount.com"

    static let cases: [Case] = [
        Case(
            testDescription: "a pod that does not exist", stage: "pod",
            words: ["runs on another node, or does not exist", "kubectl get pod -n default ghost -o wide"],
            query: "default/ghost"
        ) { _, _ in },
        Case(
            testDescription: "a pod that does not exist, by its name alone", stage: "pod",
            words: ["'kubectl get pod -A -o wide | grep ghost' says which"], query: "ghost"
        ) { _, _ in },
        Case(
            testDescription: "a pod of another node", stage: "pod",
            words: ["does not list it for node node-a", "agent of the pod's own node"], query: "default/far"
        ) { world, _ in
            world.cluster.kubernetes.addNode("node-b")
            world.cluster.kubernetes.createPod(namespace: "default", name: "far", node: "node-b")
        },
        Case(testDescription: "a pod that was deleted while it runs", stage: "pod", words: ["was deleted"], query: "") {
            world, _ in world.cluster.kubernetes.deletePod(namespace: "default", name: "a", .force)
        },
        Case(
            testDescription: "a static pod", stage: "kind", words: ["static pod", "DaemonSet"],
            query: "kube-system/etcd"
        ) { world, _ in
            let hash = "0123456789abcdef0123456789abcdef"
            world.cluster.kubernetes.createPod(
                namespace: "kube-system", name: "etcd", node: LabWorld.nodeName, staticConfigHash: hash)
            _ = try await world.node.addPod(
                RunningPodSpecification(name: "etcd", namespace: "kube-system", uid: hash, isHostNetwork: true))
        },
        Case(testDescription: "a pod that has finished", stage: "phase", words: ["Succeeded", "restartPolicy"]) {
            world, _ in
            world.cluster.kubernetes.updatePod(namespace: "default", name: "a") { $0.phase = "Succeeded" }
        },
        Case(testDescription: "a pod without a cgroup", stage: "cgroup", words: ["none below", "cgroup.kubepods"]) {
            _, pod in await pod.removeCgroup()
        },
        Case(
            testDescription: "a policy that denies", stage: "policy", words: ["deny", "change the policy"],
            changes: { _ in ["policies": "[{policy: deny, service-account: app}]"] }
        ) { _, _ in },
        Case(
            testDescription: "no right to read ServiceAccounts", stage: "ServiceAccount",
            words: ["not allowed to get service accounts", "feature gate"],
            configure: { $0.kubernetes.nodesReadServiceAccounts = false }
        ) { _, _ in },
        Case(
            testDescription: "a ServiceAccount that is gone", stage: "ServiceAccount",
            words: ["not found", "default/app"]
        ) { world, _ in world.cluster.kubernetes.deleteServiceAccount(namespace: "default", name: "app") },
        Case(
            testDescription: "an API server that is down", stage: "ServiceAccount",
            words: ["connection refused", "firewalls"]
        ) { world, _ in await world.cluster.kubernetesServer.takeDown() },
        Case(
            testDescription: "no RBAC rule for the audience", stage: "TokenRequest",
            words: ["request-serviceaccounts-token-audience", "system:nodes"]
        ) { world, _ in world.cluster.kubernetes.revokeAudience() },
        Case(
            testDescription: "a provider that is not configured", stage: "Google STS",
            words: ["invalid_target", "exists and is enabled"]
        ) { world, _ in world.provider { $0.isEnabled = false } },
        Case(
            testDescription: "a provider of another issuer", stage: "Google STS",
            words: ["issuer", "--service-account-issuer"]
        ) { world, _ in world.provider { $0.issuer = "https://elsewhere" } },
        Case(
            testDescription: "a provider for other audiences", stage: "Google STS", words: ["allowed audiences"]
        ) { world, _ in world.provider { $0.allowedAudiences = ["https://elsewhere"] } },
        Case(
            testDescription: "an attribute condition that refuses", stage: "Google STS", words: ["attribute condition"]
        ) { world, _ in world.provider { $0.condition = { _ in false } } },
        Case(
            testDescription: "an STS that cannot be reached", stage: "Google STS",
            words: ["connection refused", "/v1/token must be reachable"]
        ) { world, _ in await world.cluster.securityTokenServiceServer.takeDown() },
        Case(
            testDescription: "an STS whose certificate nobody trusts", stage: "Google STS",
            words: ["TLS", "google.ca-file"],
            changes: { world in
                let path = world.node.directory + "/other-ca.pem"
                try LabPKI().authorityPEM.write(toFile: path, atomically: true, encoding: .utf8)
                return ["google.ca-file": path]
            }
        ) { _, _ in },
        Case(
            testDescription: "an annotated account without workloadIdentityUser", stage: "IAM Credentials",
            words: ["iam.serviceAccounts.getAccessToken", "roles/iam.workloadIdentityUser", account]
        ) { world, _ in
            world.cluster.iamCredentials.createAccount(account)
            world.annotate(account)
        },
        Case(
            testDescription: "an annotation that names no account", stage: "IAM Credentials",
            words: ["Gaia id not found", "correct the annotation"]
        ) { world, _ in world.annotate(account) },
    ]

    @Test("names the cause of every case")
    func causes() async throws {
        // In worlds of their own: what is down is tried for some seconds.
        _ = try await concurrently(Self.cases, limit: 4) { broken in
            do {
                try await cause(broken)
            } catch {
                Issue.record("\(broken.testDescription): \(error)")
            }
        }
    }

    private func cause(_ broken: Case) async throws {
        try await withWorld(configure: broken.configure) { world in
            world.addServiceAccount("app")
            let agent = try await world.startAgent(try broken.changes(world))
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            // Known to the agent before it breaks. One that is denied gets no answer.
            _ = try? await pod.ask("/computeMetadata/v1/project/project-id")
            try await broken.breaks(world, pod)
            let query = broken.query.isEmpty ? pod.uid : broken.query
            let (result, explanation) = try await world.explain(agent, query, until: broken.stage)
            #expect(result.status == 1, "\(broken.testDescription): \(result.errorOutput)")
            let cause = try #require(explanation.cause)
            #expect(cause.name == broken.stage, "\(broken.testDescription): \(explanation.text())")
            let text = "\(cause.detail)\n\(cause.remedy ?? "")"
            for word in broken.words { #expect(text.contains(word), "\(broken.testDescription): \(text)") }
            for secret in ["ya29.", "eyJ"] { #expect(!result.output.contains(secret), "\(broken.testDescription)") }
            await agent.stop()
        }
    }

    @Test("a sound pod gets its identity, past remembered failures, by a mint that is audited and not kept")
    func sound() async throws {
        try await withAgent(["log.level": "debug"]) { world, agent in
            world.addServiceAccount("app", impersonating: Self.account)
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            world.provider { $0.isEnabled = false }
            #expect(try await pod.ask().status == 403)
            world.provider { $0.isEnabled = true }
            let result = try await world.debug(agent, "explain", "a")
            #expect(result.status == 0, "\(result.output)\(result.errorOutput)")
            #expect(result.output.contains("default/a gets its identity"))
            #expect(result.output.contains("IAM lets it act as \(Self.account)"))
            for secret in ["ya29.", "eyJ"] { #expect(!result.output.contains(secret)) }
            #expect(world.cluster.kubernetes.mints.events.allSatisfy { $0.podUID == pod.uid })
            try await agent.log.first { $0.contains("token minted") && $0.contains(Self.account) }
            let tokens = try await world.debug(agent, "tokens", "-o", "json", as: TokenDump.self)
            #expect(tokens.entries.allSatisfy { $0.state != "fresh" })
        }
    }

    @Test("what is no pod's name is refused before it is asked")
    func badName() async throws {
        try await withWorld { world in
            for query in ["a b", "../x/y", "a/b/c", "", "A", "a?b=c"] {
                let result = try await Command.run([world.binaries + "/podidentd", "debug", "explain", "--", query])
                #expect(result.status == 64, "\(query): \(result.errorOutput)")
            }
        }
    }
}

extension LabWorld {
    fileprivate func annotate(_ value: String) {
        cluster.kubernetes.createServiceAccount(
            namespace: "default", name: "app", annotations: ["iam.gke.io/gcp-service-account": value])
    }

    fileprivate func provider(_ change: @Sendable (inout WorkloadIdentityProvider) -> Void) {
        cluster.securityTokenService.updateProvider(cluster.configuration.providerName, change)
    }

    /// Explains, again for at most a minute while the watch has not brought what was changed.
    fileprivate func explain(
        _ agent: AgentProcess, _ query: String, until stage: String
    ) async throws -> (CommandResult, Explanation) {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let result = try await debug(agent, "explain", query, "-o", "json")
            let explanation = try JSONDecoder().decode(Explanation.self, from: Data(result.output.utf8))
            if explanation.cause?.name == stage || ContinuousClock.now > deadline { return (result, explanation) }
        }
    }
}
