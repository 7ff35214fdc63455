import AgentTesting
import Lab
import Testing

/// Rules of `policies` that are finer than the ServiceAccount, as the SPIFFE endpoint keeps them.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SpiffePolicyTests {
    @Test("14: a rule of labels refuses one of two pods of a ServiceAccount, and a pod that gets the label later")
    func labels() async throws {
        let settings: [String: String?] = [
            "policies": "[{policy: deny, labels: tier=batch}]", "spiffe.bundle-seconds": "2",
        ]
        try await withSigner(settings) { world, _, _ in
            world.addServiceAccount("web")
            let front = try await world.addPod("a", serviceAccount: "web", labels: ["tier": "front"])
            let batch = try await world.addPod("b", serviceAccount: "web", labels: ["tier": "batch"])
            let id = "spiffe://lab.example/ns/default/sa/web"
            let token = ["--path", "FetchJWTSVID", "--body", WorkloadField.frame([(1, "vault")])]
            #expect(try await front.spiffe("svid")["id"]?.string == id)
            #expect(try await world.workload(front, token).messages.count == 1)
            // The kernel refuses the connection as soon as it knows the policy, and the agent until then.
            for call in [[], token] {
                let answer = try await world.workload(batch, call)
                #expect(answer.messages.isEmpty && [nil, 7].contains(answer.grpcStatus), "\(answer)")
            }
            let stream = try world.start(front, "--messages", "0")
            try await world.eventually("one stream") { try await world.openStreams() == 1 }
            let labels = [("a", "batch"), ("b", "front")]
            for (name, tier) in labels {
                world.cluster.kubernetes.updatePod(namespace: "default", name: name) { $0.labels = ["tier": tier] }
            }
            let end = try await world.answer(stream)
            #expect(end.grpcStatus == 7 && end.grpcMessage?.contains("policy") == true, "\(end)")
            #expect(try await world.workload(front).messages.isEmpty)
            try await world.eventually("an identity") { try await world.workload(batch).messages.count == 1 }
            #expect(try await batch.spiffe("svid")["id"]?.string == id)
        }
    }
}
