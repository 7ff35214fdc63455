import Attribution
import NIOCore
import NIOHTTP1
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

private let token = "/computeMetadata/v1/instance/service-accounts/default/token"

/// Requests that are answered without being decoded again.
@Suite(.timeLimit(.minutes(10))) struct RequestCacheTests {
    private let known = RequestCache()
    private let backend = FakeBackend()

    init() {
        backend.update { $0.isTokenCached = true }
    }

    private func connect(refusesAll: Bool = false) async throws -> TestConnection {
        try await TestConnection(backend, refusesAll: refusesAll, known: known)
    }

    @Test(
        "Only bytes that end with their first head are accepted",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: metadata\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: metadata\r\n\r\nG", false),
            ("GET / HTTP/1.1\r\nHost: metadata\r\n\r\n\r\n", false),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", false),
            ("\r\nGET / HTTP/1.1\r\n\r\n", false),
            ("\r\n\r\n", false),
            ("GET / HTTP/1.1\nHost: metadata\n\nGET / HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: metadata\r\n", false),
            ("\r\n", false), ("", false),
            ("GET /\(String(repeating: "x", count: 1100)) HTTP/1.1\r\n\r\n", false),
        ])
    func form(_ text: String, _ isAccepted: Bool) {
        #expect(RequestCache.accepts(ByteBuffer(string: text)) == isAccepted)
    }

    @Test(
        "A known request gets what it got the first time, on the same connection and on the next",
        arguments: [
            get(token), get(token, method: "HEAD"), get(token, "Connection: close"), get("/"),
            get(token).replacing("HTTP/1.1", with: "HTTP/1.0"), get("/computeMetadata/v1/instance/zone"),
            get(token + "?scopes=a,b"), get("/computeMetadata"),
        ])
    func sameAnswer(_ text: String) async throws {
        let first = try await connect()
        let answer = try await first.exchange(text)
        #expect(known.count == 1)
        if !answer.closes {
            #expect(try await first.exchange(text) == answer)
            #expect(try await first.exchange(text) == answer)
        }
        let second = try await connect()
        #expect(try await second.exchange(text) == answer)
        #expect(second.observer.record.requests == Array(first.observer.record.requests.prefix(1)))
        #expect(known.count == 1)
        await first.close()
        await second.close()
    }

    @Test(
        "What is not one valid request without a body is not remembered",
        arguments: [
            get(token, flavor: false), get(token, host: "evil.example"), get("/nothing"), get(token, method: "POST"),
            get(token, "X-Forwarded-For: 1.2.3.4"), get(token, "Expect: 100-continue"),
            get("/", "Content-Length: 1", body: "x"), get(token, "Content-Length: 4", body: "\r\n\r\n"),
            get(token, "Transfer-Encoding: chunked", body: "0\r\n\r\n"), get(token) + get("/"),
            get(token, "Host: metadata"), "GET / HTTP/1.1\r\n\r\n", get(token + "?wait_for_change=true"),
        ])
    func refusals(_ text: String) async throws {
        for _ in 1...2 {
            let connection = try await connect()
            try await connection.send(text)
            #expect(known.count == 0)
            await connection.close()
        }
    }

    @Test("One more header is another request")
    func oneMoreHeader() async throws {
        let connection = try await connect()
        #expect(try await connection.exchange(get(token)).status == 200)
        #expect(try await connection.exchange(get(token)).status == 200)
        #expect(try await connection.exchange(get(token, "X-Forwarded-For: 1.2.3.4")).status == 403)
        #expect(try await connection.exchange(get(token, flavor: false)).status == 403)
        #expect(known.count == 1)
        await connection.close()
    }

    @Test("A known request's bytes within another request are not a request")
    func withinAnother() async throws {
        let first = try await connect()
        _ = try await first.exchange(get("/"))
        #expect(known.count == 1)
        // The same bytes as the body of a request, in a read of their own.
        let second = try await connect()
        try await second.send(get("/", method: "POST", "Content-Length: \(get("/").utf8.count)"))
        try await second.send(get("/"))
        #expect(try await second.receive().status == 405)
        #expect(try await second.receiveNow() == nil)
        // And behind a head that is not complete.
        let third = try await connect()
        try await third.send("GET / HTTP/1.1\r\nHost: metadata\r\nX-A: ")
        try await third.send(get("/"))
        #expect(try await third.receive().status == 400)
        #expect(third.observer.record.requests.count == 1)
        for connection in [first, second, third] { await connection.close() }
    }

    @Test("A connection over its pod's limit is refused, whatever it asks")
    func overLimit() async throws {
        let first = try await connect()
        #expect(try await first.exchange(get(token)).status == 200)
        let second = try await connect(refusesAll: true)
        let refusal = try await second.exchange(get(token))
        #expect(refusal.status == 429 && refusal.closes)
        await first.close()
        await second.close()
    }

    @Test("A pod that vanished under its connection gets nothing more")
    func vanishedPod() async throws {
        let connection = try await connect()
        for _ in 1...2 { #expect(try await connection.exchange(get(token)).status == 200) }
        backend.update { $0.identification = .refused(.podGone) }
        #expect(try await connection.exchange(get(token)).status == 403)
        await connection.close()
    }

    @Test("Stopping makes a known request the last one")
    func draining() async throws {
        let connection = try await connect()
        #expect(try await !connection.exchange(get(token)).closes)
        let fresh = try await connect()
        try await fresh.fire(DrainRequested())
        #expect(try await fresh.exchange(get(token)).closes)
        await connection.close()
        await fresh.close()
    }

    private func remember(_ text: String, from pod: PodUID) throws {
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: ["Host": "metadata"])
        known.remember(
            ByteBuffer(string: text), as: ConnectionState.Exchange(head: head, closes: false, request: nil), from: pod)
    }

    @Test("A pod that never asks twice alike makes the table forget its own requests, and no other pod's")
    func boundPerPod() throws {
        try remember("usual", from: .test(1))
        for number in 0..<(RequestCache.limit * 2) {
            try remember("\(number)", from: .test(2))
            #expect(known.count <= 1 + RequestCache.limitPerPod)
        }
        #expect(known[ByteBuffer(string: "usual")] != nil)
        #expect(known[ByteBuffer(string: "\(RequestCache.limit * 2 - 1)")] != nil)
    }

    @Test("The table is bounded, and forgets the requests of the pod with most of them")
    func bound() throws {
        let pods = try (0..<(RequestCache.limit + 9)).map { number in
            try #require(PodUID("00000000-0000-0000-0000-\(100_000_000_000 + number)"))
        }
        for text in ["a", "b"] { try remember(text, from: pods[0]) }
        for pod in pods.dropFirst() {
            try remember("\(pod)", from: pod)
            #expect(known.count <= RequestCache.limit)
        }
        #expect(known[ByteBuffer(string: "a")] == nil)
        #expect(known[ByteBuffer(string: "\(pods[pods.count - 1])")] != nil)
    }
}
