import NIOCore
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

private let token = "/computeMetadata/v1/instance/service-accounts/default/token"

/// Requests that two readers could understand in two ways, and requests that are too much: refused, and counted.
@Suite(.timeLimit(.minutes(10))) struct StrictHTTPTests {
    /// Name, bytes, and the statuses of the answers.
    private static let cases: [(String, String, [Int])] = [
        (
            "Content-Length and chunked",
            "POST / HTTP/1.1\r\nHost: metadata\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                + get(token),
            [400]
        ),
        ("Content-Length as a list", get("/", method: "POST", "Content-Length: 0, 0") + get(token), [400]),
        (
            "Content-Length with a sign", get("/", method: "POST", "Content-Length: +4", body: "GET ") + get(token),
            [400]
        ),
        ("coding and identity", get("/", method: "POST", "Transfer-Encoding: identity, chunked") + get(token), [400]),
        ("coding with a vertical tab", get("/", method: "POST", "Transfer-Encoding:\u{b}chunked") + get(token), [400]),
        ("two Hosts", get("/", "Host: evil.example"), [400]),
        ("a Host of another's", get(token, host: "evil.example"), [403]),
        ("an absolute form of another's", get("http://evil.example\(token)"), [403]),
        ("an absolute form, and a Host of another's", get("http://metadata\(token)", host: "evil.example"), [403]),
        ("two flavors, one wrong", get(token, "Metadata-Flavor: Other"), [400]),
        ("a forwarded request", get(token, "x-forwarded-for: 1.2.3.4"), [403]),
        (
            "a double slash without the flavor",
            get("//computeMetadata//v1/instance/service-accounts/default/token", flavor: false), [403]
        ),
        ("an encoded slash", get("/computeMetadata%2fv1/project/project-id"), [400]),
        ("an encoded NUL", get("/computeMetadata/v1/project/project-id%00"), [400]),
        ("dot segments above the root", get("/../computeMetadata/v1/project/project-id"), [400]),
    ]

    @Test("what is ambiguous is refused, and nothing behind it is read", arguments: cases)
    func ambiguous(_ name: String, _ bytes: String, _ statuses: [Int]) async throws {
        let backend = FakeBackend()
        backend.update { $0.isTokenCached = true }
        let connection = try await TestConnection(backend)
        try await connection.send(bytes)
        var answers = [try await connection.receive()]
        while let answer = try await connection.receiveNow() { answers.append(answer) }
        #expect(answers.map(\.status) == statuses, "\(name): \(answers)")
        if statuses == [400] { #expect(answers.allSatisfy { !$0.body.contains("ya29") }) }
        await connection.close()
    }

    @Test("a header field of 64 KiB is a 431, and counted")
    func largeHeader() async throws {
        try await expect(431, .headers, for: get("/", "X: " + String(repeating: "x", count: 65_536)))
    }

    @Test("a thousand header fields are a 431, and counted")
    func manyHeaders() async throws {
        let fields = String(repeating: "X: y\r\n", count: 1_000)
        try await expect(431, .headers, for: "GET / HTTP/1.1\r\nHost: metadata\r\n\(fields)\r\n")
    }

    @Test("a long target is a 414, and counted")
    func longTarget() async throws {
        try await expect(414, .requestTarget, for: get("/" + String(repeating: "a", count: 9_000)))
    }

    @Test("a large body is a 413, and counted")
    func largeBody() async throws {
        try await expect(413, .body, for: get("/", method: "POST", "Content-Length: 1000000"))
    }

    private func expect(_ status: Int, _ limit: LimitKind, for request: String) async throws {
        let connection = try await TestConnection(FakeBackend())
        try? await connection.send(request)
        let answer = try await connection.receive()
        #expect(answer.status == status && answer.closes)
        #expect(connection.observer.record.limits == [limit])
        await connection.close()
    }
}
