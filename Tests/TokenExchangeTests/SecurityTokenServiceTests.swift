import NIOHTTP1
import Testing
import TokenExchange
import Tokens
import UpstreamTesting

@testable import GoogleTokenExchange

@Suite("Security Token Service")
struct SecurityTokenServiceTests {
    private static func answer(
        token: String = "ya29.d.abc",
        expiresIn: String = "3599",
        type: String = "Bearer",
        issued: String = "urn:ietf:params:oauth:token-type:access_token"
    ) -> String {
        #"{"access_token":"\#(token)","issued_token_type":"\#(issued)","token_type":"\#(type)","expires_in":\#(expiresIn)}"#
    }

    private func exchange(
        _ reply: @escaping @autoclosure @Sendable () -> ScriptedReply, timeout: Duration = .seconds(60)
    ) async throws -> (Result<UpstreamToken, UpstreamFailure>, [ScriptedRequest]) {
        try await outcome(of: reply, timeout: timeout) { exchange throws(UpstreamFailure) in
            try await exchange.exchange(testSubject, scopes: ScopeSet(["https://www.googleapis.com/auth/b", "a"]))
        }
    }

    @Test("The form has exactly these fields, and no Authorization header goes with it")
    func wire() async throws {
        let (result, requests) = try await exchange(.answer(200, Self.answer()))
        let token = try result.get()
        #expect(token.token.exposed == "ya29.d.abc")
        #expect(token.lifetime == .seconds(3599))
        let request = try #require(requests.first)
        #expect(request.method == .POST)
        #expect(request.target == "/v1/token")
        #expect(request.headers["authorization"].isEmpty)
        #expect(request.headers["content-type"] == ["application/x-www-form-urlencoded"])
        #expect(request.headers["user-agent"] == ["podidentd/1.2"])
        #expect(
            request.text
                == "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
                + "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
                + "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
                + "&subject_token=\(testSubject.token.exposed)"
                + "&audience=%2F%2Fiam.googleapis.com%2Fprojects%2F1%2Flocations%2Fglobal%2FworkloadIdentityPools%2Fp%2Fproviders%2Fk"
                + "&scope=a%20https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fb"
        )
    }

    @Test("A token of 12 KB passes, and one that no limit explains does not")
    func tokenSizes() async throws {
        let (large, _) = try await exchange(.answer(200, Self.answer(token: String(repeating: "x", count: 12_288))))
        #expect(try large.get().token.exposed.utf8.count == 12_288)
        let (huge, _) = try await exchange(.answer(200, Self.answer(token: String(repeating: "x", count: 20_000))))
        #expect(huge.failure?.kind == .unavailable)
    }

    @Test("Lifetimes are the server's, never above an hour, and the subject's if it names none")
    func lifetimes() async throws {
        #expect(try await exchange(.answer(200, Self.answer(expiresIn: "86400"))).0.get().lifetime == .seconds(3600))
        #expect(try await exchange(.answer(200, Self.answer(expiresIn: "null"))).0.get().lifetime == .seconds(3600))
        #expect(try await exchange(.answer(200, Self.answer(expiresIn: "0"))).0.failure?.kind == .unavailable)
    }

    @Test(
        "An answer that is none is no token, and is not quoted",
        arguments: [
            answer(token: ""), answer(token: "a b"), answer(type: "mac"), answer(issued: "urn:x"),
            answer(expiresIn: "-5"), answer(expiresIn: "\\\"x\\\""), "", "<html>ya29.secret</html>", "[]",
            #"{"access_token":7}"#,
        ]
    )
    func unusable(body: String) async throws {
        let failure = try #require(try await exchange(.answer(200, body)).0.failure)
        #expect(failure.kind == .unavailable)
        #expect(failure.upstream == .securityTokenService)
        #expect(!failure.message.contains("ya29"))
    }

    @Test(
        "Refusals keep Google's words and get the right kind",
        arguments: [
            Refusal(
                status: 400,
                body: #"{"error":"invalid_request","error_description":"Invalid value for \"audience\"."}"#,
                kind: .misconfigured,
                message: "invalid_request: Invalid value for \"audience\"."
            ),
            Refusal(status: 400, body: #"{"error":"invalid_target"}"#, kind: .misconfigured, message: "invalid_target"),
            Refusal(
                status: 400,
                body: #"{"error":"invalid_grant","error_description":"ID Token issued at 1 is stale to sign-in."}"#,
                kind: .staleSubjectToken,
                message: "invalid_grant: ID Token issued at 1 is stale to sign-in."
            ),
            Refusal(
                status: 400,
                body: #"{"error":"unauthorized_client","error_description":"condition\nrejected"}"#,
                kind: .denied,
                message: "unauthorized_client: condition rejected"
            ),
            Refusal(status: 400, body: #"{"error":"server_error"}"#, kind: .unavailable, message: "server_error"),
            Refusal(
                status: 400, body: #"{"error":"temporarily_unavailable"}"#, kind: .unavailable,
                message: "temporarily_unavailable"),
            Refusal(
                status: 400, body: #"{"error":"internal_failure"}"#, kind: .unavailable, message: "internal_failure"),
            Refusal(status: 429, body: #"{"error":"quota"}"#, kind: .rateLimited, message: #"{"error":"quota"}"#),
            Refusal(
                status: 503, body: #"{"error":"invalid_request"}"#, kind: .unavailable,
                message: #"{"error":"invalid_request"}"#),
            Refusal(
                status: 403,
                body:
                    #"{"error":{"code":403,"message":"API disabled","details":[{"@type":"x"},{"reason":"SERVICE_DISABLED"}]}}"#,
                kind: .misconfigured,
                message: "API disabled"
            ),
            Refusal(status: 404, body: "<h1>Not found</h1>", kind: .misconfigured, message: "<h1>Not found</h1>"),
            Refusal(status: 502, body: "", kind: .unavailable, message: "HTTP 502"),
            Refusal(status: 302, body: "", kind: .unavailable, message: "HTTP 302"),
        ]
    )
    func refusals(_ refusal: Refusal) async throws {
        let (result, requests) = try await exchange(
            .answer(refusal.status, headers: ["retry-after": "4"], refusal.body))
        let failure = try #require(result.failure)
        #expect(failure.kind == refusal.kind)
        #expect(failure.message == refusal.message)
        #expect(failure.status == refusal.status)
        #expect(failure.retryAfter == .seconds(4))
        #expect(requests.count == 1)
    }

    @Test("A token that an error quotes is taken out of it")
    func quotedTokens() async throws {
        let body = #"{"error":"invalid_grant","error_description":"bad token \#(testSubject.token.exposed)"}"#
        let (result, _) = try await exchange(.answer(400, body))
        #expect(result.failure?.message == "invalid_grant: bad token [redacted]")
    }

    @Test(
        "A service that hangs, resets or talks nonsense is unavailable",
        arguments: [
            ScriptedReply.hang, .close, .raw("nonsense\r\n\r\n"),
            .raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"),
        ])
    func transport(reply: ScriptedReply) async throws {
        let failure = try #require(try await exchange(reply, timeout: .milliseconds(500)).0.failure)
        #expect(failure.kind == .unavailable)
        #expect(failure.status == nil)
        #expect(failure.message.hasPrefix("127.0.0.1: "))
    }

    @Test("Addresses that are not https, and empty audiences, are refused at the start")
    func configuration() {
        for url in [
            "http://sts.googleapis.com/v1/token", "sts.googleapis.com", "https://", "https://a/?b", "https://u@a",
            "https://a/",
        ] {
            var configuration = GoogleTokenService.Configuration(audience: testProvider, version: "1")
            configuration.stsURL = url
            #expect(throws: TokenExchangeError.self) { try GoogleTokenService(configuration) }
        }
        #expect(throws: TokenExchangeError.self) {
            try GoogleTokenService(GoogleTokenService.Configuration(audience: "", version: "1"))
        }
        var configuration = GoogleTokenService.Configuration(audience: testProvider, version: "1")
        configuration.trustRootsPath = "/nowhere"
        #expect(throws: TokenExchangeError.self) { try GoogleTokenService(configuration) }
    }
}
