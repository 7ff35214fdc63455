import AgentTesting
import Foundation
import Lab
import Testing

/// Two signers behind one address, as a Service of two replicas.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct SpiffeSignerTests {
    private static let address = "10.96.0.56"

    @Test("41: with one of two signers killed by SIGKILL, every pod gets its SVIDs from the other")
    func replicas() async throws {
        try await withWorld { world in
            let first = try await LabSigner.start(in: world, hosts: [Self.address])
            let second = try await LabSigner.start(in: world, replica: 1, authority: first.authority)
            try await Self.balance(world, [first.port, second.port])
            var configuration = first.agentConfiguration
            configuration["spiffe.signer"] = "https://\(Self.address):8443"
            let agent = try await world.startAgent(configuration)
            world.addServiceAccount("web")
            var lines = ""
            for number in 0..<8 {
                if number == 3 { lines = await first.kill().output }
                let pod = try await world.addPod("p\(number)", serviceAccount: "web")
                #expect(try await pod.spiffe("svid")["id"]?.string?.hasSuffix("/sa/web") == true)
                #expect(try await pod.spiffe("jwt", "vault")["id"]?.string?.hasSuffix("/sa/web") == true)
            }
            await agent.stop()
            for output in [lines, await second.stop().output] {
                #expect(output.contains(#""result":"signed""#), "both have signed: \(output)")
            }
        }
    }

    @Test("with the signer away pods keep what they have, a new pod gets 14 and why, and its SVID once one is back")
    func away() async throws {
        try await withWorld { world in
            let signer = try await LabSigner.start(in: world)
            let agent = try await world.startAgent(signer.agentConfiguration)
            for name in ["web", "late"] { world.addServiceAccount(name) }
            let pod = try await world.addPod("a", serviceAccount: "web")
            let stream = try world.start(pod, "--messages", "0")
            try await world.eventually("one stream") { try await world.openStreams() == 1 }
            let before = (try await pod.spiffe("svid"), try await pod.spiffe("jwt", "vault"))
            await signer.kill()
            #expect(try await pod.spiffe("svid")["serial"] == before.0["serial"])
            #expect(try await pod.spiffe("jwt", "vault")["token"] == before.1["token"])
            let late = try await world.addPod("b", serviceAccount: "late")
            let refused = try await world.workload(late)
            #expect(refused.grpcStatus == 14 && refused.grpcMessage?.contains("signer") == true, "\(refused)")
            #expect(try await world.openStreams() == 1, "the stream of before is open")
            let next = try await LabSigner.start(in: world, authority: signer.authority)
            try await world.eventually("an SVID for the new pod") {
                try await world.workload(late).messages.count == 1
            }
            await agent.stop()
            let ended = try await world.answer(stream)
            #expect(ended.grpcStatus == 14, "\(ended)")
            await next.stop()
        }
    }

    @Test(
        "the signer publishes its authorities as ClusterTrustBundles where they are served and as a ConfigMap everywhere: also a new one, and what another has changed is put right"
    )
    func published() async throws {
        // In worlds of their own: each waits three times until the signer looks again.
        _ = try await concurrently([PodCertificateSupport.v1, .v1beta1, .absent], limit: 3) { try await publish($0) }
    }

    private func publish(_ support: PodCertificateSupport) async throws {
        try await withWorld(configure: { $0.kubernetes.podCertificates = support }) { world in
            let signer = try await LabSigner.start(
                in: world, options: LabSigner.signsRequests + [LabSigner.publishesBundle, "--reload-seconds", "1"])
            do {
                try await Self.checkBundles(world, signer, support)
            } catch {
                print(signer.log.events.joined(separator: "\n"))
                await signer.kill()
                throw error
            }
            #expect(!signer.log.events.contains { $0.contains("cannot be published") }, "\(support)")
            await signer.stop()
        }
    }

    private static func checkBundles(
        _ world: LabWorld, _ signer: LabSigner, _ support: PodCertificateSupport
    ) async throws {
        let kubernetes = world.cluster.kubernetes
        let map = LabSigner.bundleMap
        let requests = world.cluster.kubernetesServer.requests
        @Sendable func text() -> String {
            kubernetes.configMapText(namespace: map.namespace, name: map.name, key: "ca.crt") ?? ""
        }
        /// Whether the ConfigMap and every ClusterTrustBundle have these authorities.
        @Sendable func isPublished(_ authorities: [LabPKI]) -> Bool {
            ([text()] + kubernetes.trustBundles.values).allSatisfy { pem in
                pem.components(separatedBy: "BEGIN CERTIFICATE").count == authorities.count + 1
                    && authorities.allSatisfy { pem.contains($0.authorityPEM.trimmingCharacters(in: .newlines)) }
            }
        }
        try await requests.wait { _ in isPublished([signer.authority]) }
        let names =
            support == .absent ? [] : ["podidentd.io:node-serving:lab.example", "podidentd.io:spiffe:lab.example"]
        #expect(kubernetes.trustBundles.keys.sorted() == names, "\(support)")
        let next = try LabPKI(name: "next root")
        try signer.publish([next])
        try await requests.wait { _ in isPublished([signer.authority, next]) }
        kubernetes.setConfigMapText(namespace: map.namespace, name: map.name, key: "ca.crt", "a stranger's")
        try await requests.wait { _ in isPublished([signer.authority, next]) }
        let document = kubernetes.configMapText(namespace: map.namespace, name: map.name, key: "bundle.json")
        #expect(try JSON(parsing: (document ?? "").utf8)["keys"]?.array?.count == 3)
    }

    /// Makes the node spread connections to the Service's address over the replicas, as kube-proxy does.
    private static func balance(_ world: LabWorld, _ ports: [Int]) async throws {
        try await world.node.network.ip("addr add \(address)/32 dev lo")
        let targets = ports.enumerated().map { "\($0): \(LabNode.address) . \($1)" }.joined(separator: ", ")
        try await Command.require(
            ["nsenter", "--net=\(world.node.network.path)", "nft", "-f", "-"],
            input: """
                table ip service {
                  chain output {
                    type nat hook output priority -100;
                    ip daddr \(address) tcp dport 8443 dnat ip to numgen inc mod \(ports.count) map { \(targets) }
                  }
                }

                """)
    }
}
