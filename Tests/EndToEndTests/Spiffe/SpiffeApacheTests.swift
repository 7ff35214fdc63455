import AgentTesting
import Foundation
import Lab
import Testing

/// A real Apache with mod_oauth2, which knows issuers by their key sets alone, tells applications in pods apart.
@Suite(.serialized, .timeLimit(.minutes(5)), .enabled(if: ClientPath.hasForeignPrograms && Apache.isInstalled))
struct SpiffeApacheTests {
    private static let issuer = "https://identity.lab.example"
    private static let id = "spiffe://lab.example/ns/default/sa/"

    private static func withApache(_ body: (LabWorld, Apache, LabSigner) async throws -> Void) async throws {
        let audiences = ["kubernetes.pod-token-audiences": Optional(Apache.audience)]
        try await withSigner(audiences, options: ["--issuer", issuer]) { world, _, signer in
            world.cluster.kubernetes.allowAudience(Apache.audience)
            for name in ["shop", "other"] { world.addServiceAccount(name) }
            let apache = try await Apache.start(
                in: world,
                [
                    .init(name: "svid", keysURL: signer.keysURL, issuer: issuer, subject: id + "shop"),
                    .init(
                        name: "pod", keysURL: world.cluster.kubernetesURL + "/openid/v1/jwks",
                        issuer: world.cluster.issuerDiscovery().issuer,
                        subject: "system:serviceaccount:default:shop"),
                ])
            do {
                try await body(world, apache, signer)
            } catch {
                await apache.stop()
                throw error
            }
            await apache.stop()
        }
    }

    @Test(
        "47: Apache's mod_oauth2 lets one of two applications in by its JWT-SVID, and no token of another audience or with a fault"
    )
    func tokens() async throws {
        try await Self.withApache { world, apache, signer in
            let shop = try await world.addPod("shop", serviceAccount: "shop")
            let other = try await world.addPod("other", serviceAccount: "other")
            for (pod, answer) in [(shop, "open-sesame"), (other, "401")] {
                let token = try #require(try await pod.spiffe("jwt", Apache.audience)["token"]?.string)
                #expect(try await apache.read(from: pod, "svid", token: token) == answer, "\(pod.name)")
            }
            #expect(try await apache.read(from: shop, "svid", token: nil) == "401")
            let elsewhere = try #require(try await shop.spiffe("jwt", "elsewhere")["token"]?.string)
            #expect(try await apache.read(from: shop, "svid", token: elsewhere) == "401")
            let two = try #require(try await shop.spiffe("jwt", "elsewhere", Apache.audience)["token"]?.string)
            #expect(try await apache.read(from: shop, "svid", token: two) == "open-sesame")
            let forged = try signer.forgeries(of: Self.id + "shop", audience: Apache.audience, issuer: Self.issuer)
            #expect(try await apache.read(from: shop, "svid", token: forged.good) == "open-sesame", "a good forgery")
            for (name, token) in forged.bad {
                #expect(try await apache.read(from: shop, "svid", token: token) == "401", "\(name)")
            }
        }
    }

    @Test(
        "47: Apache's mod_oauth2 lets one of two applications in by its pod-bound token, and not by a JWT-SVID in its place"
    )
    func podTokens() async throws {
        try await Self.withApache { world, apache, _ in
            let shop = try await world.addPod("shop", serviceAccount: "shop")
            let other = try await world.addPod("other", serviceAccount: "other")
            for (pod, answer) in [(shop, "open-sesame"), (other, "401")] {
                let token = try await pod.curl("/podidentd/v1/token?audience=\(Apache.audience)")
                try #require(token.status == 200, "\(pod.name): \(token.body)")
                #expect(try await apache.read(from: pod, "pod", token: token.body) == answer, "\(pod.name)")
                #expect(try await apache.read(from: pod, "svid", token: token.body) == "401", "\(pod.name)")
            }
            let svid = try #require(try await shop.spiffe("jwt", Apache.audience)["token"]?.string)
            #expect(try await apache.read(from: shop, "pod", token: svid) == "401")
        }
    }
}
