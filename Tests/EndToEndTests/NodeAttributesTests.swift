import AgentTesting
import Foundation
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct NodeAttributesTests {
    private static let instance = "/computeMetadata/v1/instance/"

    @Test("instance attributes come from the Node object where nothing is configured")
    func fromNode() async throws {
        let unset = ["instance.zone", "instance.id", "cluster.name", "cluster.location", "cluster.uid"]
        let changes = Dictionary(uniqueKeysWithValues: unset.map { ($0, String?.none) })
            .merging(["cluster.uid": "configured"]) { $1 }
        try await withWorld { world in
            world.cluster.kubernetes.updateNode(LabWorld.nodeName) { node in
                node.labels["topology.kubernetes.io/zone"] = "europe-west4-a"
                node.labels["topology.kubernetes.io/region"] = "europe-west4"
                node.annotations = ["podidentd.io/cluster-name": "prod", "podidentd.io/cluster-uid": "not-this"]
                node.providerID = "gce://p/europe-west4-a/87654321"
                node.addresses["InternalDNS"] = "node-a.internal"
            }
            let agent = try await world.startAgent(changes)
            try await agent.log.first(within: .seconds(60)) { $0.contains("node read") }
            let pod = try await world.addPod("a")
            let expected = [
                "zone": "projects/\(LabWorld.projectNumber)/zones/europe-west4-a", "id": "87654321",
                "hostname": "node-a.internal", "name": "node-a", "attributes/cluster-name": "prod",
                "attributes/cluster-location": "europe-west4", "attributes/cluster-uid": "configured",
            ]
            for (path, value) in expected {
                let answer = try await pod.curl(Self.instance + path)
                #expect(answer.status == 200 && answer.body == value, "\(path): \(answer)")
            }
            await agent.stop()
        }
    }
}

@Suite(.serialized, .timeLimit(.minutes(10)))
struct AnnotationWatchTests {
    @Test(
        "a request that waits for the email to change learns of a new annotation",
        arguments: ["email", "?recursive=true"])
    func waiting(path: String) async throws {
        try await withAgent { world, _ in
            let kubernetes = world.cluster.kubernetes
            kubernetes.createServiceAccount(namespace: "default", name: "default")
            let pod = try await world.addPod("a")
            let account = "/computeMetadata/v1/instance/service-accounts/default/\(path)"
            #expect(try await pod.curl(account).body.contains("lab-pool"))
            let wait = "\(path.contains("?") ? "&" : "?")wait_for_change=true"
            async let held = pod.curl(account + wait)
            // The request counts as held once the agent has looked at the account for it again.
            let requests = world.cluster.kubernetesServer.requests
            let before = requests.total
            try await requests.wait { $0.dropFirst(before).count { $0.path.contains("serviceaccounts/") } >= 2 }
            kubernetes.annotate(
                namespace: "default", serviceAccount: "default", "iam.gke.io/gcp-service-account",
                "gsa@p.iam.gserviceaccount.com")
            let answer = try await held
            #expect(answer.status == 200 && answer.body.contains("gsa@p.iam.gserviceaccount.com"))
        }
    }

    @Test("on a cluster whose nodes may not read ServiceAccounts the pod and the log learn which gate is off")
    func gateOff() async throws {
        try await withWorld(configure: { $0.kubernetes.nodesReadServiceAccounts = false }) { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let agent = try await world.startAgent()
            let pod = try await world.addPod("a")
            let answer = try await pod.curl("/computeMetadata/v1/instance/service-accounts/default/token")
            #expect(answer.status == 403)
            for words in ["default/default", "KubeletServiceAccountTokenForCredentialProviders", "1.34", "RBAC"] {
                #expect(answer.body.contains(words), "\(answer.body)")
            }
            // Stopped, it has said all it says.
            let said = await agent.stop().errorOutput
            #expect(
                said.split(separator: "\n").count { $0.contains("KubeletServiceAccountTokenForCredentialProviders") }
                    == 1)
        }
    }
}
