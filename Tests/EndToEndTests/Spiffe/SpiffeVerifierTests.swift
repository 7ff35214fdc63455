import AgentTesting
import Foundation
import Lab
import Testing

/// Foreign verifiers of what pods get: a real OpenBao and a real PostgreSQL, each of which tells two applications apart.
@Suite(.serialized, .timeLimit(.minutes(5)), .enabled(if: ClientPath.hasForeignPrograms))
struct SpiffeVerifierTests {
    private static let id = "spiffe://lab.example/ns/default/sa/"
    private static let issuer = "https://identity.lab.example"

    private static func withOpenBao(
        _ options: [String] = [], _ body: (LabWorld, OpenBao, LabSigner) async throws -> Void
    ) async throws {
        let audience = ["kubernetes.pod-token-audiences": Optional("openbao")]
        try await withSigner(audience, options: ["--issuer", issuer] + options) { world, _, signer in
            world.cluster.kubernetes.allowAudience("openbao")
            for name in ["shop", "other"] { world.addServiceAccount(name) }
            let bao = try await OpenBao.start(in: world)
            do {
                try await body(world, bao, signer)
            } catch {
                await bao.stop()
                throw error
            }
            await bao.stop()
        }
    }

    @Test(
        "47: OpenBao's jwt method takes a pod's JWT-SVID, and refuses another ServiceAccount's and six that are no good"
    )
    func tokens() async throws {
        try await Self.withOpenBao { world, bao, signer in
            let shop = try await world.addPod("shop", serviceAccount: "shop")
            let other = try await world.addPod("other", serviceAccount: "other")
            try await bao.require("auth", "enable", "jwt")
            try await bao.require(
                "write", "auth/jwt/config", "jwks_url=\(signer.keysURL)", "jwks_ca_pem=@\(world.cluster.authorityPath)",
                "bound_issuer=\(Self.issuer)")
            try await bao.require(
                "write", "auth/jwt/role/shop", "role_type=jwt", "user_claim=sub", "bound_audiences=openbao",
                "bound_subject=\(Self.id)shop", "token_policies=app")
            func read(_ pod: RunningPod, _ token: String) async throws -> String {
                try await bao.read(from: pod, mount: "jwt", ["role": "shop", "jwt": token])
            }
            let token = try #require(try await shop.spiffe("jwt", "openbao")["token"]?.string)
            #expect(try await read(shop, token) == "open-sesame")
            let foreign = try #require(try await other.spiffe("jwt", "openbao")["token"]?.string)
            #expect(try await read(other, foreign).contains("subject"))
            let elsewhere = try #require(try await shop.spiffe("jwt", "elsewhere")["token"]?.string)
            #expect(try await read(shop, elsewhere).contains("audience"))
            let forged = try signer.forgeries(of: Self.id + "shop", audience: "openbao", issuer: Self.issuer)
            #expect(try await read(shop, forged.good) == "open-sesame", "the forgery itself is good")
            for (name, token) in forged.bad {
                let answer = try await read(shop, token)
                #expect(answer.hasPrefix("refused: "), "\(name): \(answer)")
            }
        }
    }

    @Test("48: a role bound to one pod's UID tells two pods of one ServiceAccount apart, by JWT-SVID and by pod token")
    func podUID() async throws {
        try await Self.withOpenBao { world, bao, signer in
            let first = try await world.addPod("a", serviceAccount: "shop")
            let second = try await world.addPod("b", serviceAccount: "shop")
            let mounts = [
                ("svid", signer.keysURL), ("kubernetes-token", world.cluster.kubernetesURL + "/openid/v1/jwks"),
            ]
            for (mount, url) in mounts {
                try await bao.require("auth", "enable", "-path=\(mount)", "jwt")
                try await bao.require(
                    "write", "auth/\(mount)/config", "jwks_url=\(url)", "jwks_ca_pem=@\(world.cluster.authorityPath)")
                let claims: JSON = ["/kubernetes.io/pod/uid": .string(first.uid)]
                let role: JSON = [
                    "role_type": "jwt", "user_claim": "sub", "bound_audiences": "openbao", "token_policies": "app",
                    "bound_claims": claims,
                ]
                let path = world.node.directory + "/role.json"
                try role.text.write(toFile: path, atomically: true, encoding: .utf8)
                try await bao.require("write", "auth/\(mount)/role/first", "@\(path)")
            }
            for (pod, isFirst) in [(first, true), (second, false)] {
                let svid = try #require(try await pod.spiffe("jwt", "openbao")["token"]?.string)
                let podToken = try await pod.curl("/podidentd/v1/token?audience=openbao").body
                for (mount, token) in [("svid", svid), ("kubernetes-token", podToken)] {
                    let answer = try await bao.read(from: pod, mount: mount, ["role": "first", "jwt": token])
                    #expect(isFirst ? answer == "open-sesame" : answer.contains("claim"), "\(mount): \(answer)")
                }
            }
        }
    }

    @Test("finer than the ServiceAccount: a rule on an allow-listed label and the zone, as the API server has them")
    func attributes() async throws {
        let options = ["--claim-label", "tier", "--claim-label", "absent", "--claim-zone"]
        try await Self.withOpenBao(options) { world, bao, signer in
            world.cluster.kubernetes.updateNode(LabWorld.nodeName) {
                $0.labels["topology.kubernetes.io/zone"] = "zone-a"
            }
            let labels = ["tier": "frontend", "password": "not-a-claim"]
            let front = try await world.addPod("a", serviceAccount: "shop", labels: labels)
            let back = try await world.addPod("b", serviceAccount: "shop", labels: ["tier": "backend"])
            try await bao.require("auth", "enable", "jwt")
            try await bao.require(
                "write", "auth/jwt/config", "jwks_url=\(signer.keysURL)", "jwks_ca_pem=@\(world.cluster.authorityPath)")
            let claims: JSON = ["/podidentd.io/labels/tier": "frontend", "/podidentd.io/zone": "zone-a"]
            let role: JSON = [
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": "openbao", "token_policies": "app",
                "bound_claims": claims,
            ]
            let path = world.node.directory + "/role.json"
            try role.text.write(toFile: path, atomically: true, encoding: .utf8)
            try await bao.require("write", "auth/jwt/role/front", "@\(path)")
            for (pod, isFront) in [(front, true), (back, false)] {
                let answer = try await pod.spiffe("jwt", "openbao")
                let given = answer["claims"]?["podidentd.io"]
                #expect(given?["labels"]?.members?.count == 1, "the listed label alone: \(answer.text)")
                let token = try #require(answer["token"]?.string)
                let secret = try await bao.read(from: pod, mount: "jwt", ["role": "front", "jwt": token])
                #expect(isFront ? secret == "open-sesame" : secret.contains("claim"), "\(secret)")
            }
            // The same pod on a node of another zone, and for one more audience: no token is kept for these.
            world.cluster.kubernetes.updateNode(LabWorld.nodeName) {
                $0.labels["topology.kubernetes.io/zone"] = "zone-b"
            }
            let elsewhere = try await front.spiffe("jwt", "openbao", "later")
            #expect(elsewhere["claims"]?["podidentd.io"]?["zone"]?.string == "zone-b", "\(elsewhere.text)")
            let token = try #require(elsewhere["token"]?.string)
            let refusal = try await bao.read(from: front, mount: "jwt", ["role": "front", "jwt": token])
            #expect(refusal.contains("claim"), "\(refusal)")
        }
    }

    @Test("finer than the pod: a rule on the container that asks, once the API server has a container of that ID")
    func containers() async throws {
        try await Self.withOpenBao(["--claim-container"]) { world, bao, signer in
            let pod = try await world.addPod("a", serviceAccount: "shop")
            let names = ["app": pod.containerID, "sidecar": String(repeating: "5d", count: 32)]
            try await bao.require("auth", "enable", "jwt")
            try await bao.require(
                "write", "auth/jwt/config", "jwks_url=\(signer.keysURL)", "jwks_ca_pem=@\(world.cluster.authorityPath)")
            let claims: JSON = ["/podidentd.io/container/name": "app"]
            let role: JSON = [
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": "openbao", "token_policies": "app",
                "bound_claims": claims,
            ]
            let path = world.node.directory + "/role.json"
            try role.text.write(toFile: path, atomically: true, encoding: .utf8)
            try await bao.require("write", "auth/jwt/role/app", "@\(path)")

            /// Asks as a process of one of the pod's containers. Returns its claim, and what OpenBao answers.
            func ask(_ name: String, _ audience: String) async throws -> (claim: JSON?, secret: String) {
                let cgroup = pod.cgroup + world.node.layout.container(id: try #require(names[name]))
                try FileManager.default.createDirectory(
                    atPath: world.node.cgroupDirectory(cgroup), withIntermediateDirectories: true)
                let result = try await Command.run(
                    pod.commandLine(SpiffeTests.command("jwt", "openbao", audience), cgroup: cgroup))
                try #require(result.succeeded, "\(result.errorOutput)")
                let answer = try JSON(parsing: Array(result.output.utf8))
                let token = try #require(answer["token"]?.string)
                return (
                    answer["claims"]?["podidentd.io"]?["container"],
                    try await bao.read(from: pod, mount: "jwt", ["role": "app", "jwt": token])
                )
            }
            let unknown = try await ask("app", "early")
            #expect(unknown.claim == nil && unknown.secret.contains("claim"), "the kubelet has told nobody: \(unknown)")
            world.cluster.kubernetes.updatePod(namespace: "default", name: "a") { $0.containerIDs = names }
            for name in ["app", "sidecar"] {
                let found = try await ask(name, "late")
                #expect(found.claim?["name"]?.string == name && found.claim?["id"]?.string == names[name], "\(found)")
                #expect(name == "app" ? found.secret == "open-sesame" : found.secret.contains("claim"), "\(found)")
            }
        }
    }

    @Test("OpenBao's cert method takes an X.509-SVID by its URI, and refuses another pod's")
    func certificates() async throws {
        // OpenBao names an entity by the subject alone, and refuses a certificate without one.
        try await Self.withOpenBao(["--named-subject"]) { world, bao, signer in
            let root = world.node.directory + "/root.pem"
            try signer.authority.authorityPEM.write(toFile: root, atomically: true, encoding: .utf8)
            try await bao.require("auth", "enable", "cert")
            try await bao.require(
                "write", "auth/cert/certs/shop", "certificate=@\(root)", "allowed_uri_sans=\(Self.id)shop",
                "token_policies=app")
            for name in ["shop", "other"] {
                let pod = try await world.addPod(name, serviceAccount: name)
                let files = try await world.svidFiles(of: pod)
                let answer = try await bao.read(from: pod, mount: "cert", [:], files: files)
                #expect(name == "shop" ? answer == "open-sesame" : answer.hasPrefix("refused: "), "\(answer)")
            }
        }
    }

    @Test(
        "two applications in two pods ask one PostgreSQL: one gets in by its X.509-SVID, the other does not; no password"
    )
    func postgres() async throws {
        try await withSigner(options: ["--named-subject"]) { world, _, _ in
            for name in ["shop", "other", "database"] { world.addServiceAccount(name) }
            let database = try await world.addPod("db", serviceAccount: "database")
            let server = try await Postgres.start(in: database, world)
            do {
                func ask(_ name: String, as user: String) async throws -> CommandResult {
                    let pod = try await world.addPod("\(name)-as-\(user)", serviceAccount: name)
                    return try await server.ask(from: pod, as: user, files: try await world.svidFiles(of: pod))
                }
                let shop = try await ask("shop", as: "shop")
                #expect(shop.output == "shop|t\n", "\(shop.errorOutput)")
                for (name, user) in [("other", "shop"), ("other", "postgres"), ("shop", "postgres")] {
                    let refused = try await ask(name, as: user)
                    #expect(!refused.succeeded && refused.output.isEmpty)
                    #expect(refused.errorOutput.contains("certificate authentication failed"), "\(refused.errorOutput)")
                }
                let bare = try await server.ask(from: database, as: "shop", files: nil)
                #expect(bare.errorOutput.contains("requires a valid client certificate"), "\(bare.errorOutput)")
            } catch {
                await server.stop()
                throw error
            }
            await server.stop()
        }
    }
}

extension LabSigner {
    /// Tokens like the signer's own: one that is good, and others with one fault each.
    func forgeries(
        of subject: String, audience: String, issuer: String
    ) throws -> (good: String, bad: [(name: String, token: String)]) {
        let now = Int64(Date().timeIntervalSince1970)
        func claims(_ issuer: String, life: Int64 = 300) -> JSON {
            [
                "iss": .string(issuer), "sub": .string(subject), "aud": [.string(audience)], "iat": .integer(now - 900),
                "exp": .integer(now + life),
            ]
        }
        let good = claims(issuer)
        let bad = [
            ("expired", try token(claims(issuer, life: -600))),
            ("another key of that name", try token(good, byOwnKey: false)),
            ("another issuer", try token(claims("https://elsewhere.example"))),
            ("no algorithm", try token(good, algorithm: "none")),
            ("HMAC", try token(good, algorithm: "HS256")),
        ]
        return (try token(good), bad)
    }
}

extension LabWorld {
    /// Lets the pod write its SVID into files of its own, as spiffe-helper does; returns their folder.
    func svidFiles(of pod: RunningPod) async throws -> String {
        let folder = node.directory + "/svid-" + pod.name
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        _ = try await pod.spiffe("files", folder)
        return folder
    }
}
