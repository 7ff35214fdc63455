import Crypto
import Foundation
import KubernetesAPI
import Logging
import Synchronization
import Testing

@testable import Signer
@testable import SpiffeIdentity

/// A reviewer that says what the test wants.
private struct ScriptedReviewer: TokenReviewing {
    var verdict: TokenVerdict

    func review(_ token: String, audience: String) async -> TokenVerdict { verdict }

    func attributes(
        _ wanted: ClaimConfiguration, of pod: ReviewedPod
    ) async throws(ExchangeRefusal) -> PodAttributes {
        let container = wanted.hasContainer ? pod.container.map { PodContainer(name: "app", id: $0) } : nil
        return PodAttributes(labels: ["tier": "web"], zone: "zone-a", container: container)
    }
}

/// The exchange of a proof for SVIDs.
@Suite struct ExchangeTests {
    private static let pod = ReviewedPod(
        namespace: "shop", serviceAccount: "web", serviceAccountUID: "sa-uid", name: "web-1", uid: "pod-uid",
        node: "node-a", nodeUID: "node-uid", credentialID: "JTI=1")

    private static func withFolder(_ body: (String, SignerConfiguration) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let root = try TestAuthority()
        try write(root, to: folder)
        try write(P256.Signing.PrivateKey().pemRepresentation, folder + "/token-keys/signing.key")
        let configuration = SignerConfiguration(
            trustDomain: testDomain, authorityFolder: folder + "/authority", tokenKeyFolder: folder + "/token-keys",
            serverFolder: folder + "/server")
        try await body(folder, configuration)
    }

    private static func write(_ text: String, _ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// The certificate of the server is the authority's: no client connects here.
    private static func write(_ root: TestAuthority, to folder: String) throws {
        for part in ["authority", "server"] {
            try write(try root.pem, "\(folder)/\(part)/tls.crt")
            try write(root.key.pemRepresentation, "\(folder)/\(part)/tls.key")
        }
    }

    private static func keys(_ configuration: SignerConfiguration) throws -> SignerKeys {
        try SignerKeys(
            authority: configuration.authorityFolder, tokenKeys: configuration.tokenKeyFolder, trustDomain: testDomain)
    }

    @Test("a node over its share gets 429, by the name that the API server vouches for; another node gets its SVID")
    func shares() async throws {
        try await Self.withFolder { _, configuration in
            var configuration = configuration
            configuration.shares?.node.burst = 2
            let keys = try Self.keys(configuration)
            let exchange = Exchange(configuration, reviewer: ScriptedReviewer(verdict: .pod(Self.pod)))
            let request = ExchangeRequest(audience: ["vault"])
            for _ in 0..<2 { _ = try await exchange.exchange(request, token: "token", keys: keys) }
            let refusal = await #expect(throws: ExchangeRefusal.self) {
                _ = try await exchange.exchange(request, token: "token", keys: keys)
            }
            #expect(refusal?.status == 429 && refusal?.retryAfter == 1 && refusal?.isNews == true)
            #expect(refusal?.reason.contains("node-a") == true)
            configuration.shares = nil
            let unbounded = Exchange(configuration, reviewer: ScriptedReviewer(verdict: .pod(Self.pod)))
            for _ in 0..<3 { _ = try await unbounded.exchange(request, token: "token", keys: keys) }
        }
    }

    @Test("an exchange gives both SVIDs of exactly the reviewed pod")
    func both() async throws {
        try await Self.withFolder { _, configuration in
            var configuration = configuration
            configuration.issuer = "https://signer.example"
            configuration.claims.labels = ["tier"]
            let keys = try Self.keys(configuration)
            let exchange = Exchange(configuration, reviewer: ScriptedReviewer(verdict: .pod(Self.pod)))
            let key = WorkloadKey()
            let request = ExchangeRequest(csr: try key.signingRequest(), audience: ["vault", "other"])
            let outcome = try await exchange.exchange(request, token: "token", keys: keys)
            let id = SpiffeID(testDomain, namespace: "shop", serviceAccount: "web")!
            let chain = try #require(outcome.answer.chainBytes)
            _ = try X509SVID(chain: chain, key: key, id: id, bundle: keys.bundle)
            let token = try #require(outcome.answer.token)
            let verified = try JWTSVID.verify(
                token, audience: "other", bundle: keys.bundle, now: Date().timeIntervalSince1970)
            #expect(verified.id == id)
            let kubernetes = try #require(verified.claims["kubernetes.io"])
            #expect(kubernetes["pod"]?["uid"]?.string == "pod-uid" && kubernetes["node"]?["name"]?.string == "node-a")
            let further = try #require(verified.claims["podidentd.io"])
            #expect(further["labels"]?["tier"]?.string == "web" && further["zone"]?.string == "zone-a")
            #expect(verified.claims["iss"]?.string == "https://signer.example")
            #expect(verified.claims["nbf"] == nil)
            #expect((295...300).contains(verified.expiration - Date().timeIntervalSince1970))
        }
    }

    @Test("the container that asks is a claim where that is wanted, and the audit line says which claims there are")
    func container() async throws {
        try await Self.withFolder { _, configuration in
            let keys = try Self.keys(configuration)
            for isWanted in [true, false] {
                var configuration = configuration
                configuration.claims.labels = ["tier"]
                configuration.claims.hasContainer = isWanted
                let exchange = Exchange(configuration, reviewer: ScriptedReviewer(verdict: .pod(Self.pod)))
                let request = ExchangeRequest(audience: ["vault"], container: "c0ffee")
                let outcome = try await exchange.exchange(request, token: "token", keys: keys)
                let verified = try JWTSVID.verify(
                    try #require(outcome.answer.token), audience: "vault", bundle: keys.bundle,
                    now: Date().timeIntervalSince1970)
                let claim = verified.claims["podidentd.io"]?["container"]
                #expect(claim?["name"]?.string == (isWanted ? "app" : nil))
                #expect(claim?["id"]?.string == (isWanted ? "c0ffee" : nil))
                let lines = Mutex<[String]>([])
                SignatureLog { line in lines.withLock { $0.append(line) } }.record(outcome, audience: ["vault"])
                let text = try #require(lines.withLock { $0 }.first)
                let line = try #require(JSONValue(parsing: Array(text.utf8)))
                #expect(line["attributes"]?["labels"]?["tier"]?.string == "web")
                #expect(line["attributes"]?["container"]?["name"]?.string == (isWanted ? "app" : nil))
            }
        }
    }

    @Test("who is not proved, or asks for nothing or too much, gets nothing")
    func refusals() async throws {
        try await Self.withFolder { _, configuration in
            let keys = try Self.keys(configuration)
            func status(_ request: ExchangeRequest, _ verdict: TokenVerdict, token: String? = "t") async -> Int {
                let exchange = Exchange(configuration, reviewer: ScriptedReviewer(verdict: verdict))
                do {
                    _ = try await exchange.exchange(request, token: token, keys: keys)
                    return 200
                } catch {
                    return error.status
                }
            }
            let good = ExchangeRequest(audience: ["vault"])
            #expect(await status(good, .pod(Self.pod)) == 200)
            let long = ExchangeRequest(audience: ["vault"], container: String(repeating: "c", count: 129))
            #expect(await status(long, .pod(Self.pod)) == 400)
            #expect(await status(good, .pod(Self.pod), token: nil) == 401)
            #expect(await status(good, .pod(Self.pod), token: String(repeating: "x", count: 20_000)) == 401)
            #expect(await status(good, .refused("no")) == 401)
            #expect(await status(good, .unavailable("down")) == 503)
            var odd = Self.pod
            odd.serviceAccount = "a/../b"
            #expect(await status(good, .pod(odd)) == 403)
            #expect(await status(ExchangeRequest(), .pod(Self.pod)) == 400)
            #expect(await status(ExchangeRequest(audience: []), .pod(Self.pod)) == 400)
            #expect(await status(ExchangeRequest(audience: [""]), .pod(Self.pod)) == 400)
            #expect(await status(ExchangeRequest(audience: Array(repeating: "a", count: 17)), .pod(Self.pod)) == 400)
            #expect(await status(ExchangeRequest(csr: [1, 2, 3]), .pod(Self.pod)) == 400)
        }
    }

    @Test("a token is a pod's only with a ServiceAccount's name and the pod's own in the review")
    func reviews() {
        func verdict(_ change: (inout TokenReviewResponse) -> Void) -> TokenVerdict {
            var answer = TokenReviewResponse(
                isAuthenticated: true, username: "system:serviceaccount:shop:web", uid: "sa-uid",
                extra: [
                    "authentication.kubernetes.io/pod-name": ["web-1"],
                    "authentication.kubernetes.io/pod-uid": ["pod-uid"],
                    "authentication.kubernetes.io/node-name": ["node-a"],
                    "authentication.kubernetes.io/node-uid": ["node-uid"],
                    "authentication.kubernetes.io/credential-id": ["JTI=1"],
                ], audiences: ["podidentd-signer"])
            change(&answer)
            return TokenReviewer.pod(of: answer)
        }
        #expect(verdict { _ in } == .pod(Self.pod))
        for change: (inout TokenReviewResponse) -> Void in [
            { $0.username = "system:node:node-a" }, { $0.username = nil }, { $0.uid = nil },
            { $0.username = "system:serviceaccount:shop" }, { $0.username = "system:serviceaccount:a:b:c" },
            { $0.username = "system:serviceaccount::web" },
            { $0.extra["authentication.kubernetes.io/pod-uid"] = nil },
            { $0.extra["authentication.kubernetes.io/pod-name"] = [""] },
        ] {
            guard case .refused = verdict(change) else {
                Issue.record("a token without proof was taken for a pod's")
                continue
            }
        }
    }

    @Test("changed keys are taken over when they fit together, and the old ones stay when they do not")
    func reload() async throws {
        try await Self.withFolder { folder, configuration in
            let holder = try KeyHolder(configuration, logger: Logger(label: "test"))
            let first = holder.current.bundle
            let next = try TestAuthority(name: "next root")
            try Self.write(try next.pem, folder + "/authority/next.pem")
            try Self.write(P256.Signing.PrivateKey().pemRepresentation, folder + "/token-keys/next.key")
            holder.reload()
            let both = holder.current.bundle
            #expect(both.authorities == first.authorities + [next.der])
            #expect(both.keys.count == 2 && both.keys[0] == first.keys[0], "the first key signs still")
            try Self.write(next.key.pemRepresentation, folder + "/authority/tls.key")
            holder.reload()
            #expect(holder.current.bundle == both, "a key without its certificate changes nothing")
            try Self.write(try next.pem, folder + "/authority/tls.crt")
            holder.reload()
            #expect(holder.current.authority.der == next.der)
        }
    }

    @Test("an intermediate whose root is nowhere is no authority, and one with its root is")
    func intermediate() async throws {
        try await Self.withFolder { folder, configuration in
            let root = try TestAuthority()
            let (chain, key) = try root.intermediate()
            try Self.write(chain, folder + "/authority/tls.crt")
            try Self.write(key, folder + "/authority/tls.key")
            let error = #expect(throws: SpiffeError.self) { try Self.keys(configuration) }
            #expect(error?.description.contains("ca.crt") == true)
            try Self.write(try root.pem, folder + "/authority/ca.crt")
            #expect(try Self.keys(configuration).bundle.authorities == [root.der])
        }
    }
}
