import Attribution
import NIOHTTP1
import Testing

@testable import AWSInstanceMetadata
@testable import AzureInstanceMetadata
@testable import MetadataProtocol
@testable import MetadataServer
@testable import Tokens

private let role = "/latest/meta-data/iam/security-credentials/reader"

/// Answers of AWS's and Azure's protocols that are given again while their lease holds.
@Suite(.timeLimit(.minutes(10))) struct CloudResponseCacheTests {
    private let leased = ResponseCache()
    private let backend = FakeBackend()
    private let tokens = SessionTokens(key: [UInt8](repeating: 3, count: 32))
    private let responder: MetadataResponder

    init() {
        let aws = AWSMetadataRoom(.init(cloud: CloudName("aws"), region: { "r" }, zone: { nil }), tokens: tokens)
        let backend = backend
        responder = MetadataResponder(
            configuration: .test, backend: backend,
            rooms: [aws, AzureMetadataRoom(.init(cloud: CloudName("azure"), tenant: "t.example"))])
        backend.update { state in
            state.account.annotations = [
                AWSMetadataRoom.annotation: "arn:aws:iam::111122223333:role/reader",
                AzureMetadataRoom.clientAnnotation: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            ]
            state.credential = ServedToken(
                token: AWSSessionCredentials(accessKeyID: "ASIA", secretAccessKey: "s", sessionToken: "t").token,
                expiresIn: 3000)
            state.lease = TokenLease(end: .now + .seconds(3600))
            state.leaseHolds = true
        }
    }

    private func ask(
        _ target: String, _ headers: HTTPHeaders, method: HTTPMethod = .GET
    ) throws -> MetadataResponder.Outcome {
        var all: HTTPHeaders = ["Host": "169.254.169.254"]
        all.add(contentsOf: headers)
        let request = try responder.validate(.init(version: .http1_1, method: method, uri: target, headers: all))
        return responder.respond(to: request, leased: leased)
    }

    private var pod: PodUID { TestPod.p1.record.uid }

    private func header(_ seconds: Int = 600) -> HTTPHeaders {
        ["X-aws-ec2-metadata-token": tokens.make(for: pod, seconds: seconds)]
    }

    @Test("credentials, the role and a session token are given again without a look-up, while the lease holds")
    func again() throws {
        let header = header()
        let put: HTTPHeaders = ["X-aws-ec2-metadata-token-ttl-seconds": "21600"]
        let listing = "/latest/meta-data/iam/security-credentials/"
        let azure = "/metadata/identity/oauth2/token?resource=https://x"
        let first = try [
            ask(role, header), ask(listing, header), ask("/latest/api/token", put, method: .PUT),
            ask(azure, ["Metadata": "true"]),
        ]
        #expect(leased.count == 4)
        // Whatever a look-up would find now.
        backend.update { state in
            state.account.annotations = [:]
            state.credential = nil
        }
        let second = try [
            ask(role, header), ask(listing, header), ask("/latest/api/token", put, method: .PUT),
            ask(azure, ["Metadata": "true"]),
        ]
        #expect(first == second)
        backend.update { $0.leaseHolds = false }
        let third = try [ask(role, header), ask("/latest/api/token", put, method: .PUT)]
        for outcome in third {
            guard case .answer(let response) = outcome else { continue }
            #expect(response.status == .forbidden)
        }
    }

    @Test("a session token is announced each time where the credential is not here")
    func announced() throws {
        backend.update { $0.lease = nil }
        let put: HTTPHeaders = ["X-aws-ec2-metadata-token-ttl-seconds": "21600"]
        for _ in 1...3 { _ = try ask("/latest/api/token", put, method: .PUT) }
        #expect(backend.read(\.prepared).count == 3 && leased.count == 0)
    }

    @Test("a session token of less than a minute is made for each request")
    func shortLife() throws {
        let put: HTTPHeaders = ["X-aws-ec2-metadata-token-ttl-seconds": "59"]
        let first = try ask("/latest/api/token", put, method: .PUT)
        #expect(try ask("/latest/api/token", put, method: .PUT) != first && leased.count == 0)
    }

    @Test("another session token opens no leased answer, and a leased answer ends with its session token")
    func otherTokens() throws {
        _ = try ask(role, header())
        for other in [tokens.make(for: .test(9), seconds: 600), tokens.make(for: pod, seconds: 0), "x"] {
            guard case .answer(let response) = try ask(role, ["X-aws-ec2-metadata-token": other]) else {
                Issue.record("no answer")
                continue
            }
            #expect(response.status == .unauthorized)
        }
        let ending = TokenLease(end: .now + .seconds(3600)).ending(within: .milliseconds(1))
        #expect(try #require(ending).end <= .now + .milliseconds(1))
        #expect(TokenLease(end: .now + .seconds(3600)).ending(within: .zero) == nil)
    }
}
