import Attribution
import Testing
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct ErrorResponseTests {
    private let failures = GoogleFailures(.test)
    private static let account = ServiceAccountReference(namespace: "ns1", name: "app")

    private static func failure(
        _ upstream: UpstreamFailure.Upstream, _ kind: UpstreamFailure.Kind, _ status: Int?, _ message: String = "why",
        retryAfter: Duration? = nil
    ) -> TokenFailure {
        .upstream(
            UpstreamFailure(upstream: upstream, kind: kind, status: status, message: message, retryAfter: retryAfter),
            account: account, googleServiceAccount: "gsa@p.iam.gserviceaccount.com")
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var failure: TokenFailure
        var credential = GoogleFailures.Credential.accessToken
        var status: Response.Status
        var retryAfter: Int?
        var phrases: [String]
        var testDescription: String { name }
    }

    static let cases = [
        Case(
            name: "case 79 IAM 403",
            failure: failure(
                .iamCredentials, .denied, 403,
                "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."),
            status: .forbidden,
            phrases: [
                "Unable to generate access token; IAM returned 403 Forbidden: Permission "
                    + "'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).\n"
                    + "This error could be caused by a missing IAM policy binding on the target IAM service account.\n"
                    + "For more information, refer to the Workload Identity documentation:\n\thttps://",
                "ns1/app", "gsa@p.iam.gserviceaccount.com", "roles/iam.workloadIdentityUser",
            ]),
        Case(
            name: "case 80 IAM 404",
            failure: failure(.iamCredentials, .notFound, 404, "Not found; Gaia id not found for email X"),
            status: .notFound,
            phrases: [
                "Unable to generate access token; IAM returned 404 Not Found: Not found; Gaia id not found for email X\n"
            ]),
        Case(
            name: "case 80 STS 400 invalid_target",
            failure: failure(.securityTokenService, .misconfigured, 400, "invalid_target"),
            status: .forbidden,
            phrases: ["Google STS returned 400 Bad Request: invalid_target", "providers/y", "ns1/app"]),
        Case(
            name: "STS never makes a 404", failure: failure(.securityTokenService, .notFound, 404),
            status: .forbidden, phrases: ["ns1/app"]),
        Case(
            name: "Kubernetes never makes a 404", failure: failure(.kubernetes, .notFound, 404),
            status: .forbidden, phrases: ["ns1/app", "does not exist"]),
        Case(
            name: "Kubernetes 403 about the audience",
            failure: failure(.kubernetes, .denied, 403, #"audience "x" not found in pod spec volume"#),
            status: .forbidden,
            phrases: [
                "request-serviceaccounts-token-audience", #"resource "https://wif.example""#, "system:nodes", "ns1/app",
            ]),
        Case(
            name: "Kubernetes 403 about the audience of a pod token",
            failure: failure(.kubernetes, .denied, 403, #"audience "https://vault.example" not found in pod spec"#),
            credential: .podToken(audience: "https://vault.example"), status: .forbidden,
            phrases: [
                "Unable to generate pod token; Kubernetes returned 403 Forbidden: ",
                #"for the audience "https://vault.example"."#, #"resource "https://vault.example""#, "system:nodes",
            ]),
        Case(
            name: "a cluster whose nodes may not read ServiceAccounts",
            failure: .upstream(
                UpstreamFailure(
                    upstream: .kubernetes, kind: .denied, status: 403,
                    message: #"serviceaccounts "app" is forbidden: not allowed to get service accounts"#,
                    remedy: "upgrade the API server"),
                account: account, googleServiceAccount: "gsa@p.iam.gserviceaccount.com"),
            status: .forbidden,
            phrases: [
                "not allowed to get service accounts", "(ns1/app)",
                "Your cluster administrator has to upgrade the API server.",
            ]),
        Case(
            name: "IAM 403 for an identity token", failure: failure(.iamCredentials, .denied, 403),
            credential: .identityToken(audience: "https://aud"), status: .forbidden,
            phrases: ["Unable to generate identity token; IAM returned 403 Forbidden: why", "https://aud"]),
        Case(
            name: "unreachable", failure: failure(.securityTokenService, .unavailable, nil),
            status: .serviceUnavailable,
            retryAfter: 2, phrases: ["Google STS did not answer: why"]),
        Case(
            name: "5xx", failure: failure(.iamCredentials, .unavailable, 502, retryAfter: .milliseconds(6500)),
            status: .serviceUnavailable, retryAfter: 7, phrases: ["502 Bad Gateway"]),
        Case(
            name: "stale", failure: failure(.securityTokenService, .staleSubjectToken, 400),
            status: .serviceUnavailable,
            retryAfter: 2, phrases: []),
        Case(
            name: "429", failure: failure(.iamCredentials, .rateLimited, 429), status: .tooManyRequests, retryAfter: 5,
            phrases: ["429 Too Many Requests"]),
        Case(
            name: "own limit", failure: .limited(reason: "audiences", retryAfter: .zero), status: .tooManyRequests,
            retryAfter: 1, phrases: ["audiences"]),
        Case(
            name: "slow", failure: .timedOut(stage: "sts"), status: .serviceUnavailable, retryAfter: 1, phrases: ["sts"]
        ),
        Case(name: "pod gone", failure: .podGone, status: .forbidden, phrases: ["gone"]),
        Case(
            name: "no account", failure: .noGoogleServiceAccount(account),
            credential: .identityToken(audience: "a"), status: .notFound,
            phrases: ["Your Kubernetes service account (ns1/app) is not annotated with a target Google service account"]
        ),
    ]

    @Test(arguments: cases)
    func `a failure has its status and says what to do`(_ test: Case) throws {
        let response = failures.response(to: test.failure, credential: test.credential)
        #expect(response.status == test.status)
        #expect(response.retryAfter == test.retryAfter)
        guard case .text(let text) = response.body else { return #expect(Bool(false), "not a text") }
        for phrase in test.phrases { #expect(text.contains(phrase), "\(text)") }
    }

    @Test func `another machine's words are bounded and cannot break the text`() throws {
        let message = "a\r\nSet-Cookie: x\u{0}" + String(repeating: "é", count: 5000)
        let response = failures.response(
            to: Self.failure(.iamCredentials, .denied, 403, message), credential: .accessToken)
        guard case .text(let text) = response.body else { return #expect(Bool(false), "not a text") }
        #expect(text.utf8.count < 2500)
        #expect(!text.utf8.contains(0) && !text.utf8.contains(13))
    }

    @Test(arguments: [
        IdentityRefusal.notInPod, .podGone, .podFinished(namespace: "n", name: "p", phase: .failed),
        .staticPod(namespace: "n", name: "p"), .denied(namespace: "n", name: "p"),
    ])
    func `a caller without an identity is refused, never told to retry`(_ refusal: IdentityRefusal) {
        let response = ErrorResponse.response(to: refusal)
        #expect(response.status == .forbidden && response.retryAfter == nil)
    }

    @Test func `a pod whose object is too large is told so, and may try again when it is smaller`() {
        let response = ErrorResponse.response(to: IdentityRefusal.podTooLarge(namespace: "n", name: "p"))
        #expect(response.status == .serviceUnavailable && response.retryAfter == 60)
        guard case .text(let text) = response.body else { return #expect(Bool(false), "not a text") }
        #expect(text.contains("n/p") && text.contains("too large"))
    }

    @Test func `a caller that is to pass the agent is told to retry, on another connection`() {
        let response = ErrorResponse.response(to: IdentityRefusal.passedThrough(namespace: "n", name: "p"))
        #expect(response.status == .serviceUnavailable && response.retryAfter == 1 && response.closesConnection)
        guard case .text(let text) = response.body else { return #expect(Bool(false), "not a text") }
        #expect(text.contains("n/p"))
    }
}
