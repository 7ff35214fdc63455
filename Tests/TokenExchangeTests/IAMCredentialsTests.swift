import Foundation
import NIOHTTP1
import Testing
import Tokens
import UpstreamTesting

@testable import GoogleTokenExchange

@Suite("IAM Credentials")
struct IAMCredentialsTests {
    private func accessToken(
        as account: String = testAccount,
        quotaProject: String? = nil,
        _ reply: @escaping @autoclosure @Sendable () -> ScriptedReply
    ) async throws -> (Result<UpstreamToken, UpstreamFailure>, [ScriptedRequest]) {
        try await outcome(of: reply) { exchange throws(UpstreamFailure) in
            try await exchange.accessToken(
                as: account, scopes: ScopeSet(["s2", "s1"]), quotaProject: quotaProject, federated: testFederated
            )
        }
    }

    private func identityToken(
        _ reply: @escaping @autoclosure @Sendable () -> ScriptedReply
    ) async throws -> (Result<UpstreamToken, UpstreamFailure>, [ScriptedRequest]) {
        try await outcome(of: reply) { exchange throws(UpstreamFailure) in
            try await exchange.identityToken(
                as: testAccount, audience: "https://a/\"b\"", quotaProject: "q-1", federated: testFederated
            )
        }
    }

    private static func answer(expires: Date, now: Date = .now) -> ScriptedReply {
        .answer(
            200,
            headers: ["date": httpDate(now)],
            #"{"accessToken":"ya29.c.abc","expireTime":"\#(rfc3339(expires))"}"#
        )
    }

    @Test("An access token is asked for exactly so")
    func accessTokenWire() async throws {
        let (result, requests) = try await accessToken(Self.answer(expires: .now + 1800))
        #expect(try result.get().token.exposed == "ya29.c.abc")
        let request = try #require(requests.first)
        #expect(request.method == .POST)
        #expect(
            request.target
                == "/v1/projects/-/serviceAccounts/app%40my-project.iam.gserviceaccount.com:generateAccessToken"
        )
        #expect(request.text == #"{"lifetime":"3600s","scope":["s1","s2"]}"#)
        #expect(request.headers["authorization"] == ["Bearer ya29.d.federated"])
        #expect(request.headers["content-type"] == ["application/json"])
        #expect(request.headers["user-agent"] == ["podidentd/1.2"])
        #expect(request.headers["x-goog-user-project"].isEmpty)
    }

    @Test("Lifetimes are measured by Google's clock, and are never above an hour")
    func lifetimes() async throws {
        // Google's clock is two hours behind ours.
        let now = Date.now - 7200
        let skewed = try await accessToken(Self.answer(expires: now + 1800, now: now)).0.get().lifetime
        #expect((.seconds(1799)...(.seconds(1801))).contains(skewed))
        let long = try await accessToken(Self.answer(expires: now + 43_200, now: now)).0.get().lifetime
        #expect(long == .seconds(3600))
        #expect(try await accessToken(Self.answer(expires: now - 10, now: now)).0.failure?.kind == .unavailable)
        let noDate = ScriptedReply.answer(200, #"{"accessToken":"t","expireTime":"\#(rfc3339(.now + 1000))"}"#)
        #expect((.seconds(940)...(.seconds(1001))).contains(try await accessToken(noDate).0.get().lifetime))
    }

    @Test("An identity token is asked for exactly so, and lives until its exp")
    func identityTokens() async throws {
        let now = Date.now + 500
        let token = testJWT(#"{"exp":\#(Int(now.timeIntervalSince1970) + 3000),"aud":"x"}"#)
        let (result, requests) = try await identityToken(
            .answer(200, headers: ["date": httpDate(now)], #"{"token":"\#(token)"}"#)
        )
        #expect((.seconds(2999)...(.seconds(3001))).contains(try result.get().lifetime))
        let request = try #require(requests.first)
        #expect(request.path.hasSuffix("gserviceaccount.com:generateIdToken"))
        #expect(request.text == #"{"audience":"https://a/\"b\"","includeEmail":true}"#)
        #expect(request.headers["x-goog-user-project"] == ["q-1"])
    }

    @Test(
        "An answer that is none is no token",
        arguments: [
            "", "{}", #"{"token":"a.b.c"}"#, #"{"token":"abc"}"#, #"{"token":"\#(testJWT("{}"))"}"#,
            #"{"token":"\#(testJWT(#"{"exp":1}"#))"}"#, #"{"token":"\#(testJWT(#"{"exp":9223372036854775807}"#))"}"#,
            #"{"accessToken":"t","expireTime":"tomorrow"}"#, #"{"accessToken":"","expireTime":"2999-01-01T00:00:00Z"}"#,
        ]
    )
    func unusable(body: String) async throws {
        for failure in try await [
            identityToken(.answer(200, body)).0.failure, accessToken(.answer(200, body)).0.failure,
        ] {
            #expect(failure?.kind == .unavailable)
            #expect(failure?.message.contains("eyJ") == false)
        }
    }

    @Test(
        "What is no account never becomes a URL, and the annotation is named",
        arguments: [
            "", "a", "a@", "@b.c", "a@b..c", "a@.b", "a@b.", "a@b_c", "a+x@b.c", "112233445566778899001", "a@b.c@d.e",
            "a/b@c.d", "a b@c.d", "ä@b.c", "a@b.c:signBlob",
            "a%2F@b.c",
            "12345678901234567890123456789012345", "../x@y.z?", String(repeating: "a", count: 251) + "@b.c",
        ]
    )
    func accounts(account: String) async throws {
        let (result, requests) = try await accessToken(as: account, Self.answer(expires: .now + 1000))
        #expect(result.failure?.kind == .misconfigured)
        #expect(result.failure?.message.contains("iam.gke.io/gcp-service-account") == true)
        #expect(requests.isEmpty)
    }

    @Test("A quota project that is none is the annotation's fault", arguments: ["", "a b", "a\r\nx: y", "ä"])
    func quotaProjects(project: String) async throws {
        let (result, requests) = try await accessToken(quotaProject: project, Self.answer(expires: .now + 1000))
        #expect(result.failure?.kind == .misconfigured)
        #expect(requests.isEmpty)
    }

    private static func error(_ code: Int, _ message: String, reason: String = "X") -> String {
        #"{"error":{"code":\#(code),"message":"\#(message)","status":"S","details":[{"@type":"type.googleapis.com/"#
            + #"google.rpc.ErrorInfo","reason":"\#(reason)","domain":"iam.googleapis.com"}]}}"#
    }

    @Test(
        "Refusals keep Google's words and get the right kind",
        arguments: [
            Refusal(
                status: 400, body: error(400, "Invalid form of account ID X."), kind: .misconfigured,
                message: "Invalid form of account ID X."
            ),
            Refusal(
                status: 401, body: error(401, "Unauthenticated"), kind: .staleSubjectToken, message: "Unauthenticated"),
            Refusal(
                status: 403, body: error(403, "Permission denied", reason: "IAM_PERMISSION_DENIED"), kind: .denied,
                message: "Permission denied"
            ),
            Refusal(
                status: 403, body: error(403, "not enabled", reason: "SERVICE_DISABLED"), kind: .misconfigured,
                message: "not enabled"
            ),
            Refusal(
                status: 404, body: error(404, "Not found; Gaia id"), kind: .notFound, message: "Not found; Gaia id"),
            Refusal(status: 429, body: error(429, "quota"), kind: .rateLimited, message: "quota"),
            Refusal(status: 500, body: error(500, "internal"), kind: .unavailable, message: "internal"),
            Refusal(status: 403, body: "<html>", kind: .denied, message: "<html>"),
        ]
    )
    func refusals(_ refusal: Refusal) async throws {
        let (result, requests) = try await accessToken(
            .answer(refusal.status, headers: ["retry-after": "6"], refusal.body))
        let failure = try #require(result.failure)
        #expect(failure.upstream == .iamCredentials)
        #expect(failure.kind == refusal.kind)
        #expect(failure.message == refusal.message)
        #expect(failure.retryAfter == .seconds(6))
        #expect(requests.count == 1)
    }
}
