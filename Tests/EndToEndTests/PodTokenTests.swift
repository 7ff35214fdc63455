import AgentTesting
import Foundation
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct PodTokenTests {
    private static let vault = "https://vault.example"
    private static let path = "/podidentd/v1/token?audience="

    @Test("a pod fetches its own JWT for a configured relying party, and nothing else")
    func podToken() async throws {
        let audiences = [
            "kubernetes.pod-token-audiences": Optional("\(Self.vault), https://no-rbac.example"), "log.level": "debug",
        ]
        try await withAgent(audiences) { world, agent in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            world.cluster.kubernetes.allowAudience(Self.vault)
            let pod = try await world.addPod("a")
            let other = try await world.addPod("b")

            let token = try await pod.curl(Self.path + Self.vault)
            #expect(token.status == 200, "\(token.body)")
            let claims = try #require(JSONWebToken(token.body)?.claims)
            #expect(claims["aud"]?.strings == [Self.vault])
            #expect(claims["sub"]?.string == "system:serviceaccount:default:default")
            #expect(claims["kubernetes.io"]?["pod"]?["uid"]?.string == pod.uid)
            #expect(try await pod.curl(Self.path + Self.vault).body == token.body)

            let others = try await other.curl(Self.path + Self.vault)
            #expect(JSONWebToken(others.body)?.claims["kubernetes.io"]?["pod"]?["uid"]?.string == other.uid)
            let mints = world.cluster.kubernetes.mints.events
            #expect(mints.map(\.audiences) == [[Self.vault], [Self.vault]])
            #expect(mints.map(\.podUID) == [pod.uid, other.uid])
            #expect(mints.allSatisfy { $0.expirationSeconds == 3600 })

            let json = try await pod.curl(Self.path + Self.vault + "&alt=json")
            let object = try JSON(parsing: json.body.utf8)
            #expect(object["token"]?.string == token.body)
            #expect((3500...3600).contains(try #require(object["expires_in"]?.integer)))

            let unknown = try await pod.curl(Self.path + "https://other.example")
            #expect(unknown.status == 403 && unknown.body.contains("kubernetes.pod-token-audiences"))
            let forbidden = try await pod.curl(Self.path + "https://no-rbac.example")
            #expect(forbidden.status == 403)
            #expect(forbidden.body.contains(#"resource "https://no-rbac.example" (apiGroup "")"#))
            #expect(world.cluster.kubernetes.mints.events.count == 2)

            try await agent.log.first { $0.contains("no token") && $0.contains("https://no-rbac.example") }
            let audited = agent.log.events.filter { $0.contains("audience=\(Self.vault)") }
            #expect(audited.count == 2 && audited.allSatisfy { $0.contains("token minted") })
            #expect(!agent.log.events.contains { $0.contains(token.body.suffix(40)) })
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("without configured audiences there is no such path")
    func off() async throws {
        try await withAgent { world, _ in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            world.cluster.kubernetes.allowAudience("*")
            let pod = try await world.addPod("a")
            let answer = try await pod.curl(Self.path + Self.vault)
            #expect(answer.status == 404 && answer.body == "Not Found\n")
            #expect(world.cluster.kubernetes.mints.events.isEmpty)
        }
    }

    @Test("the audience of the token exchange is refused as one of pod tokens, before anything is attached")
    func exchangeAudience() async throws {
        try await withWorld { world in
            let audience = world.cluster.configuration.providerName
            let agent = try world.launchAgent(["kubernetes.pod-token-audiences": audience])
            let result = await agent.result()
            #expect(!result.succeeded)
            #expect(agent.log.events.contains { $0.contains("pod token audiences") }, "\(agent.log.events)")
        }
    }
}
