import AgentTesting
import Foundation
import Lab
import MetricsTesting
import Testing

/// Events on the pod name what the pod's owner can put right.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct EventTests {
    private static let account = "app@lab-project.iam.gserviceaccount.com"

    @Test("a pod that may not act as its account gets one Warning, however often it asks")
    func impersonation() async throws {
        try await withAgent { world, _ in
            world.cluster.iamCredentials.createAccount(Self.account)
            world.cluster.kubernetes.createServiceAccount(
                namespace: "default", name: "app", annotations: ["iam.gke.io/gcp-service-account": Self.account])
            let pod = try await world.addPod("web", serviceAccount: "app")
            for _ in 0..<20 {
                let answer = try await pod.ask()
                #expect(answer.status == 403)
            }
            let events = world.cluster.kubernetes.events
            let event = try await events.first { _ in true }
            #expect(event["type"]?.string == "Warning")
            #expect(event["reason"]?.string == "ImpersonationDenied")
            #expect(event["involvedObject"]?["kind"]?.string == "Pod")
            #expect(event["involvedObject"]?["name"]?.string == "web")
            #expect(event["involvedObject"]?["uid"]?.string == pod.uid)
            #expect(event["metadata"]?["namespace"]?.string == "default")
            #expect(event["source"]?["component"]?.string == "podidentd")
            #expect(event["source"]?["host"]?.string == LabWorld.nodeName)
            #expect(event["count"]?.integer == 1)
            let message = try #require(event["message"]?.string)
            #expect(message.contains("roles/iam.workloadIdentityUser") && message.contains(Self.account))
            #expect(message.utf8.count <= 1024 && !message.contains("\n"))

            // Another reason is another Event; it comes after every one that the twenty requests made.
            let other = try await world.addPod("static-like", serviceAccount: "missing")
            let refused = try await other.ask()
            #expect(refused.status == 403)
            try await events.first { $0["reason"]?.string == "TokenRequestDenied" }
            #expect(events.events.map { $0["reason"]?.string } == ["ImpersonationDenied", "TokenRequestDenied"])
            #expect(world.cluster.kubernetes.eventPatches.total == 0)
            let scrape = try await world.scrape()
            #expect(scrape.value("podidentd_pod_events_total", ["result": "suppressed"]) == 19)
        }
    }

    @Test("a static pod, an audience that is not configured and a missing annotation are named as such")
    func reasons() async throws {
        try await withAgent(["kubernetes.pod-token-audiences": "https://vault.example"]) { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            _ = try await pod.ask("/podidentd/v1/token?audience=https://other.example")
            _ = try await pod.ask(accountPath + "identity?audience=x")
            let hash = "0123456789abcdef0123456789abcdef"
            let mirror = world.cluster.kubernetes.createPod(
                namespace: "kube-system", name: "etcd-node-a", node: LabWorld.nodeName, staticConfigHash: hash)
            let staticPod = try await world.node.addPod(
                RunningPodSpecification(name: "etcd-node-a", namespace: "kube-system", uid: hash, isHostNetwork: true))
            let answer = try await staticPod.ask()
            #expect(answer.status == 403)
            let events = try await world.cluster.kubernetes.events.wait { $0.count == 3 }
            #expect(
                events.map { $0["reason"]?.string } == [
                    "AudienceNotAllowed", "NoGoogleServiceAccount", "NoServiceAccount",
                ])
            #expect(events.last?["involvedObject"]?["uid"]?.string == mirror)
            #expect(events.last?["metadata"]?["namespace"]?.string == "kube-system")
        }
    }

    @Test("an API server that takes no Events costs no pod its answer, and Events can be switched off")
    func off() async throws {
        try await withAgent(["kubernetes.events": "false"]) { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            let answer = try await pod.ask(accountPath + "identity?audience=x")
            #expect(answer.status == 404)
            let scrape = try await world.scrape()
            #expect(scrape.value("podidentd_refusals_total", ["reason": "no_google_service_account"]) == 1)
            #expect(world.cluster.kubernetes.events.total == 0)
        }
    }
}
