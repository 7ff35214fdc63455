import AgentTesting
import Foundation
import Lab
import Testing

/// Envoy's secret discovery on the SPIFFE endpoint, with real Envoys.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct SpiffeEnvoyTests {
    private static let id = "spiffe://lab.example/ns/default/sa/"

    @Test(
        "two Envoys speak mutual TLS through rotations of leaf and root under load without a failed request; a third is refused",
        .enabled(if: ClientPath.hasForeignPrograms)
    )
    func mesh() async throws {
        let options = ["--certificate-seconds", "20", "--reload-seconds", "1"]
        try await withSigner(["spiffe.bundle-seconds": "2"], options: options) { world, _, signer in
            for name in ["server", "client", "other"] { world.addServiceAccount(name) }
            var pods: [RunningPod] = []
            for name in ["server", "client", "other"] {
                pods.append(try await world.addPod(name, serviceAccount: name))
            }
            let server = try await Envoy.serve(in: pods[0], world, client: Self.id + "client")
            let client = try await Envoy.dial(
                from: pods[1], world, to: pods[0].address, own: Self.id + "client", server: Self.id + "server")
            let other = try await Envoy.dial(
                from: pods[2], world, to: pods[0].address, own: "default", server: Self.id + "server")
            let all = [server, client, other]
            do {
                try await world.eventually("a first answer") { try await client.request() == 200 }
                let before = try await [server.serials(), client.serials()]
                // Only now the third has its certificate for sure: what refuses it is the server's rule.
                try await world.eventually("a certificate of the third") { try await !other.serials().isEmpty }
                #expect(try await other.request() == 503)
                #expect(try await server.count("ssl.fail_verify_san") >= 1)

                let program = ClientPath.root + "/Tests/Clients/python/http_load.py"
                let load = try pods[1].start([ClientPath.python, program, "7000", "22", "hello"])
                let next = try LabPKI(name: "next trust domain root")
                try signer.publish([next])
                try await world.eventually("the next root at both") {
                    for envoy in all {
                        // The one name or the other; Envoy writes "spiffe://" as "spiffe_".
                        let updates = try await envoy.count("lab.example.update_success")
                        guard try await updates + envoy.count("sds.ROOTCA.update_success") >= 2 else { return false }
                    }
                    return true
                }
                try signer.replaceAuthority(next, further: [signer.authority])
                let result = await load.result()
                try #require(result.succeeded, "\(result.errorOutput)")
                #expect(result.output.contains(", failed: 0\n"), "\(result.output)")
                #expect(!result.output.contains("answered: 0"), "\(result.output)")
                for (envoy, first) in zip([server, client], before) {
                    #expect(try await envoy.serials().isDisjoint(with: first))
                    #expect(try await envoy.count("update_rejected") == 0)
                }
                #expect(try await other.request() == 503)
                #expect(try await client.request() == 200)
            } catch {
                print(all.map(\.log).joined(separator: "\n---\n"))
                for envoy in all { await envoy.stop() }
                throw error
            }
            for envoy in all { await envoy.stop() }
        }
    }

    @Test("a stream of secrets gets the caller's own and the bundle, by SPIRE's names, and no other pod's")
    func names() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let path = ["--bare", "--path", "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"]
            func ask(_ fields: [(Int, String)], _ more: [String] = []) async throws -> WorkloadResponse {
                try await world.workload(pod, path + ["--body", WorkloadField.frame(fields)] + more)
            }
            for names in [
                ["default"], [Self.id + "web"], ["ROOTCA"], ["spiffe://lab.example"], ["ALL"], ["default", "ROOTCA"],
            ] {
                let answer = try await ask(names.map { (3, $0) })
                let message = try #require(answer.messages.first.flatMap { Data(base64Encoded: $0) })
                for name in names { #expect(message.range(of: Data(name.utf8)) != nil, "\(name)") }
                let hasKey = message.range(of: Data("BEGIN PRIVATE KEY".utf8)) != nil
                #expect(hasKey == names.contains { $0 == "default" || $0.hasSuffix("/web") })
            }
            for name in [Self.id + "other", "spiffe://other.example", "Default", "x"] {
                let answer = try await ask([(3, name)])
                #expect(answer.grpcStatus == 7 && answer.messages.isEmpty, "\(name): \(answer)")
            }
            let type = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
            #expect(try await ask([(4, type)]).grpcStatus == 3)
            #expect(try await ask([(3, "default")], ["--authority", "attacker.example:9256"]).grpcStatus == 3)
            let delta = ["--bare", "--path", "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets"]
            #expect(try await world.workload(pod, delta).grpcStatus == 12)
        }
    }
}
