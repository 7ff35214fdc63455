import Foundation
import Lab
import Testing

/// The emulated Google of the quick start: it believes the issuer whose key set it was given, and no other.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct GoogleServerTests {
    private static let provider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b"
    private static let issuer = "https://kubernetes.default.svc.cluster.local"

    private func token(_ key: RSASigningKey) throws -> String {
        let now = Int64(Date().timeIntervalSince1970)
        let claims: JSON = [
            "iss": .string(Self.issuer), "sub": "system:serviceaccount:default:reader",
            "aud": [.string(Self.provider)], "iat": .integer(now), "nbf": .integer(now), "exp": .integer(now + 3600),
            "kubernetes.io": [
                "namespace": "default", "pod": ["name": "reader", "uid": "00000001-0000-4000-8000-000000000000"],
                "serviceaccount": ["name": "reader", "uid": "00000002-0000-4000-8000-000000000000"],
            ],
        ]
        return try key.sign(claims)
    }

    private func curl(_ arguments: String...) async throws -> String {
        try await Command.require(["curl", "-sS", "--insecure", "--max-time", "10"] + arguments)
    }

    private func exchange(_ token: String, _ url: String) async throws -> JSON {
        let fields = [
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange", "audience=\(Self.provider)",
            "requested_token_type=urn:ietf:params:oauth:token-type:access_token",
            "scope=https://www.googleapis.com/auth/cloud-platform",
            "subject_token_type=urn:ietf:params:oauth:token-type:jwt", "subject_token=\(token)",
        ]
        var arguments = ["curl", "-sS", "--insecure", "--max-time", "10"]
        for field in fields { arguments += ["--data-urlencode", field] }
        return try JSON(parsing: try await Command.require(arguments + ["\(url)/v1/token"]).utf8)
    }

    @Test("a token of the cluster's key buys one that reads the bucket; one of another key buys nothing")
    func bucket() async throws {
        let key = try RSASigningKey()
        var configuration = GoogleServer.Configuration(
            certificate: try LabPKI().server(hosts: ["127.0.0.1"]), providerName: Self.provider, issuer: Self.issuer,
            keySet: Data(try key.webKeySet.text.utf8))
        configuration.host = "127.0.0.1"
        configuration.port = 0
        let server = try GoogleServer(configuration)
        let url = try await server.start()
        let bought = try #require(try await exchange(try token(key), url)["access_token"]?.string)
        let object = "\(url)/storage/v1/b/lab-bucket/o/greeting.txt?alt=media"
        #expect(try await curl("-H", "Authorization: Bearer \(bought)", object) == "hello from the lab")
        #expect(try await curl("-o", "/dev/null", "-w", "%{http_code}", object) == "401")
        let forged = try await exchange(try token(try RSASigningKey()), url)
        #expect(forged["access_token"] == nil && forged["error"]?.string == "invalid_grant", "\(forged.text)")
        await server.stop()
    }

    @Test("a key set without an RSA key is refused", arguments: ["{\"keys\": []}", "{}", "[]"])
    func keySets(_ text: String) {
        #expect(throws: (any Error).self) { try JSONWebKeySet(parsing: Data(text.utf8)) }
    }
}
