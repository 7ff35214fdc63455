import Attribution
import Testing
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

private let path = "/podidentd/v1/token"
private let vault = "https://vault.example"
private let error = "text/plain; charset=utf-8"

@Suite(.timeLimit(.minutes(10))) struct PodTokenTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var request: String
        var status: Int
        var contentType: String
        /// The body, or for an error a part of it.
        var body: String
        var audiences: [String]

        init(
            _ name: String, _ request: String, _ status: Int, _ contentType: String, _ body: String,
            audiences: [String] = []
        ) {
            testDescription = name
            self.request = request
            self.status = status
            self.contentType = contentType
            self.body = body
            self.audiences = audiences
        }
    }

    @Test(arguments: [
        Case(
            "the bare JWT", get("\(path)?audience=\(vault)"), 200, "application/jwt", "header.pod.signature",
            audiences: [vault]),
        Case(
            "an encoded audience", get("\(path)?audience=https%3A%2F%2Fvault.example"), 200, "application/jwt",
            "header.pod.signature", audiences: [vault]),
        Case(
            "as JSON", get("\(path)?alt=json&audience=\(vault)"), 200, "application/json",
            #"{"token":"header.pod.signature","expires_in":3600}"#, audiences: [vault]),
        Case("HEAD fetches nothing", get("\(path)?audience=\(vault)", method: "HEAD"), 200, "application/jwt", ""),
        Case("without flavor", get("\(path)?audience=\(vault)", flavor: false), 403, error, "Metadata-Flavor"),
        Case(
            "forwarded", get("\(path)?audience=\(vault)", "X-Forwarded-For: 1.2.3.4"), 403, error, "X-Forwarded-For"),
        Case("somebody else's Host", get("\(path)?audience=\(vault)", host: "vault.example"), 403, error, "Host"),
        Case("no audience", get(path), 400, error, "non-empty audience parameter required\n"),
        Case("an empty audience", get("\(path)?audience="), 400, error, "non-empty audience parameter required\n"),
        Case(
            "two audiences", get("\(path)?audience=\(vault)&audience=\(vault)"), 400, error, "more than once"),
        Case("another audience", get("\(path)?audience=https://other"), 403, error, #"audience "https://other""#),
        Case("the exchange's audience", get("\(path)?audience=https://wif.example"), 403, error, "not issued"),
        Case("a longer audience", get("\(path)?audience=\(vault)/"), 403, error, "kubernetes.pod-token-audiences"),
        Case(
            "a long audience", get("\(path)?audience=" + String(repeating: "a", count: 1024)), 403, error, "aaa"),
        Case(
            "an endless audience", get("\(path)?audience=" + String(repeating: "a", count: 8000)), 400, error, "1024"),
        Case("waiting", get("\(path)?audience=\(vault)&wait_for_change=true"), 400, error, "wait_for_change"),
        Case("POST", get("\(path)?audience=\(vault)", method: "POST"), 405, error, "GET or HEAD"),
        Case("a final slash", get("\(path)/?audience=\(vault)"), 404, error, "Not Found\n"),
        Case("the directory", get("/podidentd/v1/"), 404, error, "Not Found\n"),
        Case("not in Google's tree", get("/computeMetadata/v1\(path)"), 404, error, "Not Found\n"),
    ])
    func `the rules of tokens hold for pod tokens`(_ test: Case) async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        let response = try await connection.exchange(test.request)
        #expect(response.status == test.status)
        #expect(response.headers["Content-Type"] == test.contentType)
        #expect(response.headers["Metadata-Flavor"] == "Google")
        if test.status == 200 {
            #expect(response.body == test.body)
            #expect(response.headers["Cache-Control"] == "no-store")
        } else {
            #expect(response.body.contains(test.body))
            #expect(response.body.utf8.count < 1024)
        }
        #expect(backend.read(\.podTokenAudiences) == test.audiences)
        #expect(backend.read(\.mintedScopes).isEmpty && backend.read(\.mintedAudiences).isEmpty)
        await connection.close()
    }

    @Test func `a cached pod token is answered at once, for HEAD too`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        let first = try await connection.exchange(get("\(path)?audience=\(vault)"))
        let second = try await connection.exchange(get("\(path)?audience=\(vault)"))
        let head = try await connection.exchange(get("\(path)?audience=\(vault)", method: "HEAD"))
        #expect(first == second && head.headers == first.headers && head.body.isEmpty)
        #expect(backend.upstreamCalls == 1)
        #expect(connection.observer.record.requests == [.podToken, .podToken, .podToken])
        await connection.close()
    }

    @Test func `without configured audiences the path does not exist`() async throws {
        var configuration = TestConfiguration.test
        configuration.google.podTokenAudiences = []
        let connection = try await TestConnection(FakeBackend(), configuration: configuration)
        let nothing = try await connection.exchange(get("/podidentd/v1/nothing"))
        for query in ["", "?audience=", "?audience=\(vault)", "?wait_for_change=true"] {
            for method in ["GET", "POST"] {
                #expect(try await connection.exchange(get(path + query, method: method)) == nothing)
            }
        }
        #expect(nothing.status == 404 && nothing.body == "Not Found\n")
        await connection.close()
    }

    @Test func `an annotation that is no email does not concern a pod token`() async throws {
        let backend = FakeBackend()
        backend.update { $0.account.googleServiceAccount = "no-email" }
        let connection = try await TestConnection(backend)
        #expect(try await connection.exchange(get("\(path)?audience=\(vault)")).status == 200)
        let token = "/computeMetadata/v1/instance/service-accounts/default/token"
        #expect(try await connection.exchange(get(token)).status == 400)
        await connection.close()
    }

    @Test func `a failure names the token and the audience that were asked for`() async throws {
        let backend = FakeBackend()
        backend.update {
            $0.failure = .upstream(
                UpstreamFailure(
                    upstream: .kubernetes, kind: .denied, status: 403, message: "audience not found in pod spec volume"),
                account: $0.account.reference, googleServiceAccount: nil)
        }
        let connection = try await TestConnection(backend)
        let response = try await connection.exchange(get("\(path)?audience=\(vault)"))
        #expect(response.status == 403)
        for words in ["Unable to generate pod token", #"resource "\#(vault)""#, "ns1/app"] {
            #expect(response.body.contains(words))
        }
        await connection.close()
    }

    @Test func `a pod that goes while its pod token is fetched gets none`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        let connection = try await TestConnection(backend)
        try await connection.send(get("\(path)?audience=\(vault)"))
        await backend.tokenRequestArrived()
        backend.update { $0.identification = .refused(.podGone) }
        backend.releaseTokens()
        let response = try await connection.receive()
        #expect(response.status == 403 && !response.body.contains("signature"))
        await connection.close()
    }
}
