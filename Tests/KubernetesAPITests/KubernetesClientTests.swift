import Attribution
import Foundation
import NIOHTTP1
import Synchronization
import Testing
import Tokens
import UpstreamTesting

@testable import KubernetesAPI

@Suite("Kubernetes API calls")
struct KubernetesClientTests {
    /// The answer of a real API server, with room for a lie.
    static func answer(
        bound: String = testPod.uid.description,
        claimed: String = testPod.uid.description,
        namespace: String = "team-a",
        audience: String = testAudience,
        serviceAccountUID: String = testServiceAccountUID,
        expires: String = rfc3339(.now + 3600)
    ) -> String {
        let token = testJWT(
            #"{"aud":["\#(audience)"],"sub":"system:serviceaccount:team-a:app","kubernetes.io":{"namespace":"team-a","#
                + #""pod":{"name":"app-a","uid":"\#(claimed)"},"serviceaccount":{"name":"app","uid":"\#(serviceAccountUID)"}}}"#
        )
        return #"{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"app","namespace":"#
            + #""\#(namespace)","uid":"\#(testServiceAccountUID)"},"spec":{"audiences":["\#(audience)"],"#
            + #""expirationSeconds":3600,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"app-a","uid":"\#(bound)"}},"#
            + #""status":{"token":"\#(token)","expirationTimestamp":"\#(expires)"}}"#
    }

    private func issue(
        patience: Duration = .milliseconds(400), audience: SubjectAudience = .tokenExchange,
        _ script: @escaping ScriptedServer.Script
    ) async throws -> (
        Result<SubjectToken, UpstreamFailure>, [ScriptedRequest]
    ) {
        try await KubernetesFixture.run(patience: patience, script: script) { client, server, _ in
            do throws(UpstreamFailure) {
                let token = try await client.issueSubjectToken(
                    for: testPod, serviceAccountUID: testServiceAccountUID, audience: audience)
                return (.success(token), server.requests)
            } catch {
                return (.failure(error), server.requests)
            }
        }
    }

    @Test("A token is asked for exactly so, and lives as long as the server's clock says")
    func tokenRequest() async throws {
        // The server's clock is a day ahead of ours.
        let now = Date.now + 86_400
        let (result, requests) = try await issue { _ in
            .answer(201, headers: ["date": httpDate(now)], Self.answer(expires: rfc3339(now + 7200)))
        }
        let token = try result.get()
        #expect((.seconds(7199)...(.seconds(7201))).contains(token.lifetime))
        #expect(token.token.exposed.hasPrefix("eyJ"))
        let request = try #require(requests.first)
        #expect(request.method == .POST)
        #expect(request.target == "/api/v1/namespaces/team-a/serviceaccounts/app/token")
        #expect(
            request.text == #"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","#
                + #""metadata":{"uid":"\#(testServiceAccountUID)"},"spec":{"audiences":["\#(testAudience)"],"#
                + #""boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"app-a","uid":"\#(testPod.uid)"},"#
                + #""expirationSeconds":3600}}"#
        )
        #expect(request.headers["content-type"] == ["application/json"])
        #expect(request.headers["accept"] == ["application/json"])
        #expect(request.headers["user-agent"] == ["podidentd/test"])
        #expect(request.headers["authorization"].isEmpty)
    }

    @Test("A token for another relying party names that audience alone")
    func podToken() async throws {
        let (result, requests) = try await issue(audience: .relyingParty(testRelyingParty)) { _ in
            .answer(201, headers: ["date": httpDate(.now)], Self.answer(audience: testRelyingParty))
        }
        #expect(try result.get().token.exposed.hasPrefix("eyJ"))
        #expect(try #require(requests.first).text.contains(#""audiences":["\#(testRelyingParty)"]"#))
        #expect(!requests[0].text.contains(testAudience))
    }

    @Test("An audience that is not configured is never asked for", arguments: [testAudience, "", "https://other"])
    func unknownAudience(audience: String) async throws {
        let (result, requests) = try await issue(audience: .relyingParty(audience)) { _ in
            .answer(201, headers: ["date": httpDate(.now)], Self.answer(audience: audience))
        }
        #expect(result.failure?.kind == .misconfigured)
        #expect(requests.isEmpty)
    }

    @Test(
        "A token that is not what was asked for is not used",
        arguments: [
            answer(bound: "00000000-0000-0000-0000-000000000000"),
            answer(claimed: "00000000-0000-0000-0000-000000000000"),
            answer(namespace: "team-b"),
            answer(audience: "https://kubernetes.default.svc.cluster.local"),
            answer(serviceAccountUID: "00000000-0000-0000-0000-000000000000"),
            answer(expires: rfc3339(.now - 5)),
            answer(expires: "soon"),
            "{}", "<html>", "",
        ]
    )
    func lies(answer: String) async throws {
        let (result, _) = try await issue { _ in .answer(201, headers: ["date": httpDate(.now)], answer) }
        let failure = try #require(result.failure)
        #expect(failure.kind == .unavailable)
        #expect(!failure.message.contains("eyJ"))
    }

    struct Refusal: CustomTestStringConvertible, Sendable {
        var status: Int
        var message: String
        var kind: UpstreamFailure.Kind
        var testDescription: String { "\(status) \(message)" }
    }

    @Test(
        "Refusals keep the server's words and get the right kind",
        arguments: [
            Refusal(status: 400, message: "cannot bind token for serviceaccount \"other\"", kind: .denied),
            Refusal(status: 401, message: "Unauthorized", kind: .unavailable),
            Refusal(status: 403, message: "audience \"x\" not found in pod spec volume", kind: .denied),
            Refusal(status: 404, message: "pod \"nosuch\" not found", kind: .notFound),
            Refusal(status: 409, message: "the UID in the token request does not match", kind: .notFound),
            Refusal(status: 422, message: "spec.expirationSeconds: Invalid value: 599", kind: .misconfigured),
            Refusal(status: 422, message: "ValidatingAdmissionPolicy 'p' denied request: no", kind: .denied),
            Refusal(status: 429, message: "too many requests", kind: .rateLimited),
            Refusal(status: 500, message: "boom", kind: .unavailable),
            Refusal(status: 504, message: "Timeout: Too large resource version", kind: .unavailable),
        ]
    )
    func refusals(_ refusal: Refusal) async throws {
        let (result, requests) = try await issue { _ in
            .answer(refusal.status, headers: ["retry-after": "2"], statusBody(refusal.status, refusal.message))
        }
        let failure = try #require(result.failure)
        #expect(failure.kind == refusal.kind)
        #expect(failure.status == refusal.status)
        #expect(failure.message.contains(refusal.message))
        #expect(failure.retryAfter == .seconds(2))
        #expect(failure.upstream == .kubernetes)
        #expect(requests.count == 1)
    }

    @Test("A proxy's error page becomes a short text")
    func notJSON() async throws {
        let (result, _) = try await issue { _ in
            .answer(502, "<html>\r\n<h1>Bad Gateway</h1>" + String(repeating: "x", count: 9000))
        }
        let failure = try #require(result.failure)
        #expect(failure.kind == .unavailable)
        #expect(failure.message.hasPrefix("<html> <h1>Bad Gateway"))
        #expect(failure.message.utf8.count <= 200)
    }

    private static let missing = statusBody(
        403, "serviceaccounts is forbidden: no relationship found between node 'node-a' and this object"
    )

    @Test("An API server that has just started is given a moment")
    func relationshipRetry() async throws {
        let count = Mutex(0)
        let (result, requests) = try await issue(patience: .seconds(10)) { _ in
            let isEarly = count.withLock { count in
                count += 1
                return count <= 2
            }
            return isEarly ? .answer(403, Self.missing) : .answer(201, Self.answer())
        }
        #expect(throws: Never.self) { try result.get() }
        #expect(requests.count == 3)
    }

    @Test("The moment is short: then the refusal is final")
    func relationshipPatience() async throws {
        let (result, requests) = try await issue { _ in .answer(403, Self.missing) }
        #expect(result.failure?.kind == .denied)
        #expect((2...5).contains(requests.count))
    }

    @Test("Lifetimes that the API server misunderstands are never asked for", arguments: [0, 599, 3607, 86_401])
    func lifetimes(seconds: Int) {
        #expect(throws: KubernetesAPIError.self) { try KubernetesClientOptions(audience: "a", tokenSeconds: seconds) }
        #expect(throws: KubernetesAPIError.self) { try KubernetesClientOptions(audience: "") }
        for audience in ["a", ""] {
            #expect(throws: KubernetesAPIError.self) {
                try KubernetesClientOptions(audience: "a", podTokenAudiences: ["b", audience])
            }
        }
    }

    @Test("A ServiceAccount is read with its three annotations; empty ones are none")
    func serviceAccounts() async throws {
        let annotations = Mutex(
            #""iam.gke.io/gcp-service-account":"g@p.iam.gserviceaccount.com","#
                + #""iam.gke.io/return-principal-id-as-email":"true","iam.gke.io/credential-quota-project":"q""#
        )
        let reference = ServiceAccountReference(namespace: "team-a", name: "app")
        try await KubernetesFixture.run { _ in
            .answer(
                200,
                #"{"kind":"ServiceAccount","metadata":{"name":"app","namespace":"team-a","uid":"u1","annotations":{"#
                    + annotations.withLock { $0 } + "}}}"
            )
        } body: { client, server, _ in
            var expected = ServiceAccountRecord(
                namespace: "team-a",
                name: "app",
                uid: "u1",
                googleServiceAccount: "g@p.iam.gserviceaccount.com",
                returnsPrincipalAsEmail: true,
                quotaProject: "q"
            )
            let annotated = try await client.serviceAccount(reference)
            #expect(annotated == expected)
            #expect(server.requests.first?.target == "/api/v1/namespaces/team-a/serviceaccounts/app")
            #expect(server.requests.first?.method == .GET)
            annotations.withLock {
                $0 = #""iam.gke.io/gcp-service-account":"","iam.gke.io/return-principal-id-as-email":"yes""#
            }
            expected = ServiceAccountRecord(namespace: "team-a", name: "app", uid: "u1")
            let plain = try await client.serviceAccount(reference)
            #expect(plain == expected)
            // The answer is about team-a/app, whatever was asked.
            let other = ServiceAccountReference(namespace: "team-b", name: "app")
            await #expect(throws: UpstreamFailure.self) { try await client.serviceAccount(other) }
        }
    }

    @Test("That no node may read ServiceAccounts is logged once, with the gate and the remedy, until a read works")
    func forbiddenReads() async throws {
        let lines = LogLines()
        let isAllowed = Mutex(false)
        let reference = ServiceAccountReference(namespace: "team-a", name: "app")
        try await KubernetesFixture.run(logger: lines.logger) { _ in
            isAllowed.withLock { $0 }
                ? .answer(200, #"{"metadata":{"name":"app","namespace":"team-a","uid":"u1"}}"#)
                : .answer(403, statusBody(403, "serviceaccounts is forbidden: not allowed to get service accounts"))
        } body: { client, _, _ in
            for _ in 0..<3 {
                let failure = await #expect(throws: UpstreamFailure.self) { try await client.serviceAccount(reference) }
                #expect(failure?.remedy?.contains("system:nodes") == true)
            }
            #expect(lines.all.count == 1)
            for words in ["KubeletServiceAccountTokenForCredentialProviders", "1.34", "system:nodes"] {
                #expect(lines.all.first?.contains(words) == true)
            }
            isAllowed.withLock { $0 = true }
            _ = try await client.serviceAccount(reference)
            isAllowed.withLock { $0 = false }
            await #expect(throws: UpstreamFailure.self) { try await client.serviceAccount(reference) }
            #expect(lines.all.count == 2)
        }
    }

    @Test("The node reads its own object, and takes of it what is there")
    func node() async throws {
        let body = Mutex(
            #"{"kind":"Node","metadata":{"name":"node-a","uid":"n1","labels":{"topology.kubernetes.io/zone":"z"},"#
                + #""annotations":{"podidentd.io/cluster-name":"c"}},"spec":{"providerID":"gce://p/z/n","podCIDR":"x"},"#
                + #""status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},{"type":"InternalIP","#
                + #""address":"10.0.0.2"},{"type":"Hostname","address":"node-a"}],"images":[{"sizeBytes":1}]}}"#
        )
        try await KubernetesFixture.run { _ in
            .answer(200, body.withLock { $0 })
        } body: { client, server, _ in
            let node = try await client.node("node-a")
            #expect(
                node
                    == NodeRecord(
                        uid: "n1", labels: ["topology.kubernetes.io/zone": "z"],
                        annotations: ["podidentd.io/cluster-name": "c"], providerID: "gce://p/z/n",
                        addresses: ["InternalIP": "10.0.0.1", "Hostname": "node-a"]))
            #expect(server.requests.first?.target == "/api/v1/nodes/node-a")
            #expect(server.requests.first?.method == .GET)
            body.withLock { $0 = #"{"metadata":{"name":"node-a","uid":"n1"}}"# }
            let bare = try await client.node("node-a")
            #expect(bare == NodeRecord(uid: "n1"))
            // The answer is about node-a, whatever was asked.
            await #expect(throws: UpstreamFailure.self) { try await client.node("node-b") }
            await #expect(throws: UpstreamFailure.self) { try await client.node("..") }
        }
    }

    @Test("Names that are not names never reach a URL")
    func names() async throws {
        try await KubernetesFixture.run { _ in
            .answer(404, statusBody(404, "not found"))
        } body: { client, server, _ in
            for reference in [("", "a"), ("a", ""), ("..", "a"), ("a", ".")] {
                await #expect(throws: UpstreamFailure.self) {
                    try await client.serviceAccount(ServiceAccountReference(namespace: reference.0, name: reference.1))
                }
            }
            #expect(server.requests.isEmpty)
            await #expect(throws: UpstreamFailure.self) {
                try await client.serviceAccount(ServiceAccountReference(namespace: "a/../b", name: "c?d#e"))
            }
            #expect(server.requests.first?.target == "/api/v1/namespaces/a%2F..%2Fb/serviceaccounts/c%3Fd%23e")
        }
    }
}

extension Result {
    var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }
}
