import Attribution
import Testing

@testable import AWSInstanceMetadata
@testable import AzureInstanceMetadata
@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer
@testable import Tokens

private let tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"
private let listing = "/latest/meta-data/iam/security-credentials/"

/// A node on which Google's protocol is not served: AWS and Azure alone.
@Suite(.timeLimit(.minutes(10))) struct WithoutGoogleTests {
    private static let annotations = [
        "eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/reader",
        "azure.workload.identity/client-id": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    ]

    private func connection(_ backend: FakeBackend, servesGoogle: Bool = false) async throws -> TestConnection {
        var configuration = TestConfiguration.test
        configuration.google.servesGoogle = servesGoogle
        let aws = AWSMetadataRoom(
            .init(cloud: CloudName("aws"), region: { "r" }, zone: { "z" }),
            tokens: SessionTokens(key: [UInt8](repeating: 1, count: 32)))
        let azure = AzureMetadataRoom(.init(cloud: CloudName("azure"), tenant: "t.example"))
        return try await TestConnection(backend, configuration: configuration, rooms: [aws, azure])
    }

    @Test(
        "Google's paths mint nothing for any pod, and no answer is taken for Google's server",
        arguments: [
            tokenPath, "/computeMetadata/v1/instance/service-accounts/default/identity?audience=x",
            "/computeMetadata/v1/project/project-id", "/computeMetadata/v1/instance/service-accounts/?recursive=true",
            "/computeMetadata/v1/instance/zone", "/computeMetadata/v1/", "/computeMetadata/v1", "/nowhere",
        ], [[:], annotations])
    func refused(path: String, annotations: [String: String]) async throws {
        let backend = FakeBackend(.p1)
        backend.update { $0.account.annotations = annotations }
        let connection = try await connection(backend)
        let response = try await connection.exchange(get(path))
        #expect(response.status == (path == "/nowhere" ? 404 : 403))
        #expect(response.headers["Metadata-Flavor"] == nil && response.headers["Server"] == "podidentd")
        #expect(backend.read { $0.mintedScopes.isEmpty && $0.mintedAudiences.isEmpty })
        await connection.close()
        // The same request where Google's protocol is served has Google's header.
        let google = try await self.connection(FakeBackend(.p1), servesGoogle: true)
        #expect(try await google.exchange(get(path)).headers["Metadata-Flavor"] == "Google")
        await google.close()
    }

    @Test("the root says that AWS is there, or nothing, and never that Google is")
    func root() async throws {
        for (annotations, status) in [(Self.annotations, 200), ([:], 404)] {
            let backend = FakeBackend(.p2)
            backend.update { $0.account.annotations = annotations }
            let connection = try await connection(backend)
            let response = try await connection.exchange("GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
            #expect(response.status == status && response.headers["Metadata-Flavor"] == nil)
            #expect(response.body == (status == 200 ? "latest\n" : response.body))
            await connection.close()
        }
    }

    @Test("AWS's path and the agent's own are served, also to a pod that names a Google service account")
    func served() async throws {
        let backend = FakeBackend(.p1)
        backend.update { $0.account.annotations = Self.annotations }
        let connection = try await connection(backend)
        let uid = try await connection.exchange(get(OwnPath.podUID))
        #expect(uid.status == 200 && uid.body == TestPod.p1.record.uid.description)
        #expect(uid.headers["Metadata-Flavor"] == nil && uid.headers["Server"] == "podidentd")
        let put = try await connection.exchange(
            "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\n"
                + "X-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n\r\n")
        #expect(put.status == 200)
        let role = try await connection.exchange(
            "GET \(listing) HTTP/1.1\r\nHost: 169.254.169.254\r\nX-aws-ec2-metadata-token: \(put.body)\r\n\r\n")
        #expect(role.status == 200 && role.body == "reader")
        await connection.close()
    }

    @Test(
        "no refusal is taken for Google's server, of whatever is wrong with a request",
        arguments: [
            ("GET /% HTTP/1.1\r\nHost: metadata\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (get("/", "X: " + String(repeating: "x", count: 65_536)), 431),
            (get("/" + String(repeating: "a", count: 9_000)), 414),
            (get("/", method: "POST", "Content-Length: 1000000"), 413), (get("\(OwnPath.podToken)?audience=x"), 403),
        ])
    func refusals(request: String, status: Int) async throws {
        for servesGoogle in [false, true] {
            let connection = try await connection(FakeBackend(.p1), servesGoogle: servesGoogle)
            try? await connection.send(request)
            let response = try await connection.receive()
            #expect(response.status == status)
            #expect(response.headers["Metadata-Flavor"] == (servesGoogle ? "Google" : nil))
            await connection.close()
        }
    }
}
