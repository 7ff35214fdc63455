import Attribution
import EventLoops
import NIOCore
import NIOEmbedded
import NIOPosix
import Testing
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

private let projectID = "/computeMetadata/v1/project/project-id"
private let email = "/computeMetadata/v1/instance/service-accounts/default/email"
private let token = "/computeMetadata/v1/instance/service-accounts/default/token"
private let tag = EntityTag.of("p")

@Suite(.timeLimit(.minutes(10))) struct ConnectionTests {
    struct Malformed: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]

        init(_ name: String, _ text: String) {
            testDescription = name
            bytes = Array(text.utf8)
        }
    }

    @Test(arguments: [
        Malformed("NUL in a value", "GET / HTTP/1.1\r\nHost: metadata\r\nX: a\u{0}b\r\n\r\n"),
        Malformed("NUL in the target", "GET /\u{0} HTTP/1.1\r\nHost: metadata\r\n\r\n"),
        Malformed("bare LF", "GET / HTTP/1.1\nHost: metadata\n\n"),
        Malformed("bare LF after a field", "GET / HTTP/1.1\r\nHost: metadata\nX-Forwarded-For: a\r\n\r\n"),
        Malformed("obs-fold", "GET / HTTP/1.1\r\nHost: metadata\r\nX: a\r\n b\r\n\r\n"),
        Malformed("space before the colon", "GET / HTTP/1.1\r\nHost : metadata\r\n\r\n"),
        Malformed("an empty field name", "GET / HTTP/1.1\r\nHost: metadata\r\n: x\r\n\r\n"),
        Malformed(
            "two Content-Lengths", "POST / HTTP/1.1\r\nHost: metadata\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
        ),
        Malformed("a negative Content-Length", "POST / HTTP/1.1\r\nHost: metadata\r\nContent-Length: -1\r\n\r\n"),
        Malformed(
            "an overflowing Content-Length",
            "POST / HTTP/1.1\r\nHost: metadata\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        Malformed(
            "Transfer-Encoding and Content-Length",
            "POST / HTTP/1.1\r\nHost: metadata\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Malformed(
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: metadata\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Malformed(
            "an unknown coding", "POST / HTTP/1.1\r\nHost: metadata\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        Malformed(
            "a bad chunk", "POST / HTTP/1.1\r\nHost: metadata\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Malformed("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Malformed("HTTP/0.9", "GET /\r\n\r\n"),
        Malformed("HTTP/3.7", "GET / HTTP/3.7\r\n\r\n"),
        Malformed("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}"),
        Malformed("an unknown method", "STEAL / HTTP/1.1\r\nHost: metadata\r\n\r\n"),
        Malformed("another protocol's target", "GET gopher://metadata/ HTTP/1.1\r\nHost: metadata\r\n\r\n"),
    ])
    func `what is not plain HTTP is a 400 and the end`(_ test: Malformed) async throws {
        let connection = try await TestConnection(FakeBackend())
        try await connection.send(test.bytes)
        let response = try await connection.receive()
        #expect(response.status == 400)
        #expect(response.closes)
        #expect(response.headers["Metadata-Flavor"] == "Google")
        #expect(try await connection.receiveNow() == nil)
        await connection.close()
    }

    @Test func `whatever bytes come, the handler answers or closes and traps nothing`() async throws {
        var random = SeededGenerator(state: 3)
        let pieces = [
            "GET ", "POST ", "/", token, " HTTP/1.1\r\n", " HTTP/1.0\r\n", "Host: metadata\r\n", "\r\n", "X: y\r\n",
            "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Upgrade: h2c\r\nConnection: upgrade\r\n",
            "Expect: 100-continue\r\n", "Metadata-Flavor: Google\r\n", "abc", "3\r\nabc\r\n0\r\n\r\n", "\u{0}", "%",
        ]
        for _ in 0..<300 {
            let connection = try await TestConnection(FakeBackend())
            for _ in 0..<Int.random(in: 1...30, using: &random) {
                guard connection.isOpen else { break }
                _ = try? await connection.send(pieces.randomElement(using: &random)!)
            }
            await connection.close()
            while let response = try? await connection.receiveNow() {
                #expect(response.headers["Metadata-Flavor"] == "Google")
            }
        }
    }

    @Test func `case 27 a kept-alive connection answers in order and lives for 75 s`() async throws {
        let connection = try await TestConnection(FakeBackend())
        try await connection.send(get(projectID) + get("/"))
        #expect(try await connection.receive().body == "p")
        #expect(try await connection.receive().body == "computeMetadata/\n")
        await connection.advance(by: .seconds(61))
        #expect(try await connection.exchange(get(projectID)).body == "p")
        await connection.advance(by: .seconds(74))
        #expect(connection.isOpen)
        await connection.advance(by: .seconds(2))
        #expect(!connection.isOpen)
        #expect(connection.observer.record.limits == [.idleTimeout])
    }

    @Test func `a pod that is to pass the agent from now on loses its kept-alive connection`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        #expect(try await connection.exchange(get(token)).status == 200)
        backend.update { $0.identification = .refused(.passedThrough(namespace: "n", name: "p")) }
        let response = try await connection.exchange(get(token))
        #expect(response.status == 503 && response.closes && response.headers["Retry-After"] == "1")
        #expect(!connection.isOpen)
        #expect(backend.upstreamCalls == 1)
    }

    @Test func `pipelined requests wait for a token and keep their order`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        let connection = try await TestConnection(backend)
        try await connection.send(get(token) + get(projectID) + get("/"))
        await backend.tokenRequestArrived()
        #expect(try await connection.receiveNow() == nil)
        backend.releaseTokens()
        #expect(try await connection.receive().body.contains("access_token"))
        #expect(try await connection.receive().body == "p")
        #expect(try await connection.receive().body == "computeMetadata/\n")
        await connection.close()
    }

    @Test func `requests of one read do not keep the other connections of the loop waiting`() throws {
        let loop = EmbeddedEventLoop()
        let (greedy, other) = (try embedded(loop), try embedded(loop))
        try greedy.writeInbound(ByteBuffer(string: String(repeating: get(projectID), count: 10)))
        #expect(try answers(greedy) == MetadataServerLimits().answersPerTurn)
        try other.writeInbound(ByteBuffer(string: get(projectID)))
        #expect(try answers(other) == 1, "answered before the rest of the first connection")
        loop.run()
        #expect(try answers(greedy) == 10 - MetadataServerLimits().answersPerTurn)
        for channel in [greedy, other] { _ = try? channel.finish() }
    }

    /// A connection whose loop runs only when the test says so.
    private func embedded(_ loop: EmbeddedEventLoop) throws -> EmbeddedChannel {
        let handler = RequestHandler(
            tag: .test, responder: MetadataResponder(configuration: .test, backend: FakeBackend()),
            limits: TestConfiguration.test.limits, observer: RecordingObserver(), date: DateHeader(),
            executor: EventLoopExecutor(MultiThreadedEventLoopGroup.singleton.next()))
        let channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandlers(
            MetadataServer.handlers(handler, known: RequestCache(), limits: TestConfiguration.test.limits))
        channel.connect(to: try SocketAddress(ipAddress: "169.254.169.254", port: 80), promise: nil)
        return channel
    }

    private func answers(_ channel: EmbeddedChannel) throws -> Int {
        var count = 0
        while try channel.readOutbound(as: ByteBuffer.self) != nil { count += 1 }
        return count
    }

    @Test func `pipelining without end is cut off`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        var configuration = TestConfiguration.test
        configuration.limits.pipelinedRequests = 2
        let connection = try await TestConnection(backend, configuration: configuration)
        try await connection.send(get(token) + String(repeating: get("/"), count: 10))
        await backend.tokenRequestArrived()
        backend.releaseTokens()
        #expect(try await connection.receive().closes == false)
        #expect(try await connection.receive().closes == false)
        #expect(try await connection.receive().closes)
        #expect(connection.observer.record.limits == [.pipelinedRequests])
        await connection.close()
    }

    @Test func `an answer for a connection that has gone goes nowhere`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        let gone = try await TestConnection(backend)
        try await gone.send(get(token))
        await backend.tokenRequestArrived()
        await gone.close()
        let other = try await TestConnection(backend)
        #expect(try await other.exchange(get(projectID)).body == "p")
        backend.releaseTokens()
        // The next token request is answered with its own token, after the first one's result was dropped.
        #expect(try await other.exchange(get(token + "?scopes=abc")).body.contains("ya29.3"))
        #expect(try await gone.receiveNow() == nil)
        await other.close()
    }

    @Test func `a client that half-closes still gets its answer`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        let connection = try await TestConnection(backend)
        try await connection.send(get(token))
        await backend.tokenRequestArrived()
        try await connection.fire(ChannelEvent.inputClosed)
        #expect(connection.isOpen)
        backend.releaseTokens()
        let response = try await connection.receive()
        #expect(response.status == 200 && response.closes)
        try await connection.channel.closeFuture.get()
    }

    @Test func `a pod that goes while its token is fetched gets none`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        let connection = try await TestConnection(backend)
        try await connection.send(get(token))
        await backend.tokenRequestArrived()
        backend.update { $0.identification = .refused(.podGone) }
        backend.releaseTokens()
        let response = try await connection.receive()
        #expect(response.status == 403 && !response.body.contains("ya29"))
        await connection.close()
    }

    @Test func `a connection that outlives its pod gets nothing`() async throws {
        let backend = FakeBackend()
        backend.update { $0.isTokenCached = true }
        let connection = try await TestConnection(backend)
        #expect(try await connection.exchange(get(token)).status == 200)
        backend.update { $0.identification = .refused(.podGone) }
        for path in [token, projectID, "/"] {
            #expect(try await connection.exchange(get(path)).status == 403)
        }
        await connection.close()
    }

    @Test func `case 90 an unknown pod is held, then told to come again`() async throws {
        let uid = TestPod.p1.record.uid
        let backend = FakeBackend()
        backend.update { $0.identification = .pending(uid) }
        let connection = try await TestConnection(backend)
        let response = try await connection.exchange(get(token))
        #expect(response.status == 503 && response.headers["Retry-After"] == "1")
        #expect(try await connection.exchange(get("/")).status == 200)
        backend.update { $0.afterHolding = .caller(TestPod.p1.caller) }
        #expect(try await connection.exchange(get(token)).status == 200)
        await connection.close()
    }

    @Test func `a request that comes too slowly is cut off`() async throws {
        let connection = try await TestConnection(FakeBackend())
        #expect(try await connection.exchange(get("/")).status == 200)
        await connection.advance(by: .seconds(30))
        for character in "GET / HT" {
            try await connection.send(String(character))
            await connection.advance(by: .seconds(1))
        }
        await connection.advance(by: .seconds(3))
        let response = try await connection.receive()
        #expect(response.status == 408 && response.closes)
        #expect(connection.observer.record.limits == [.requestTimeout])
        await connection.close()
    }

    @Test func `a connection that never says anything is closed without a word`() async throws {
        let connection = try await TestConnection(FakeBackend())
        await connection.advance(by: .seconds(11))
        #expect(!connection.isOpen)
        #expect(try await connection.receiveNow()?.status == nil)
    }

    @Test func `an answer that never comes is a 503 and the end`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        let connection = try await TestConnection(backend)
        try await connection.send(get(token))
        await backend.tokenRequestArrived()
        await connection.advance(by: .seconds(31))
        let response = try await connection.receive()
        #expect(response.status == 503 && response.closes && response.headers["Retry-After"] == "1")
        backend.releaseTokens()
        await connection.close()
    }

    @Test func `a body is dropped up to its limit`() async throws {
        let connection = try await TestConnection(FakeBackend())
        let body = String(repeating: "x", count: 64 * 1024)
        #expect(try await connection.exchange(get("/", "Content-Length: 65536", body: body)).status == 200)
        let response = try await connection.exchange(get("/", "Content-Length: 65537", body: body))
        #expect(response.status == 413 && response.closes)
        await connection.close()
    }

    @Test func `one connection too many is told so`() async throws {
        let connection = try await TestConnection(FakeBackend(), refusesAll: true)
        let response = try await connection.exchange(get("/"))
        #expect(response.status == 429 && response.closes && response.headers["Retry-After"] == "1")
        await connection.close()
    }

    @Test func `a request to upgrade is answered as plain HTTP, and last`() async throws {
        let connection = try await TestConnection(FakeBackend())
        let response = try await connection.exchange(
            get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"))
        #expect(response.status == 200 && response.closes)
        await connection.close()
    }
}

@Suite(.timeLimit(.minutes(10))) struct WatchTests {
    @Test func `case 52 a held value comes when the time is over`() async throws {
        let connection = try await TestConnection(FakeBackend())
        try await connection.send(get("\(projectID)?wait_for_change=true&last_etag=\(tag)&timeout_sec=5"))
        await connection.advance(by: .milliseconds(4900))
        #expect(try await connection.receiveNow() == nil)
        await connection.advance(by: .milliseconds(200))
        let response = try await connection.receive()
        #expect(response.status == 200 && response.body == "p" && response.headers["ETag"] == tag)
        #expect(try await connection.exchange(get("/")).status == 200)
        await connection.close()
    }

    @Test func `a held value comes when it changes`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        try await connection.send(get("\(email)?wait_for_change=true"))
        await connection.advance(by: .minutes(10))
        #expect(try await connection.receiveNow() == nil)
        backend.update { $0.account.googleServiceAccount = "new@p.iam.gserviceaccount.com" }
        await connection.advance(by: .seconds(2))
        #expect(try await connection.receive().body == "new@p.iam.gserviceaccount.com")
        await connection.close()
    }

    @Test func `a held value is looked for where it is not cached`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        try await connection.send(get("\(email)?wait_for_change=true"))
        backend.update {
            $0.isAccountCached = false
            $0.account.googleServiceAccount = "new@p.iam.gserviceaccount.com"
        }
        await connection.advance(by: .seconds(2))
        #expect(try await connection.receive().body == "new@p.iam.gserviceaccount.com")
        await connection.close()
    }

    @Test(arguments: [
        "default/email", "default/?recursive=true", "?recursive=true", "default/?recursive=true&alt=text",
    ])
    func `whatever shows an annotation changes with it`(_ path: String) async throws {
        let accounts = "/computeMetadata/v1/instance/service-accounts/"
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        let etag = try #require(try await connection.exchange(get(accounts + path)).headers["ETag"])
        let wait = accounts + path + (path.contains("?") ? "&" : "?") + "wait_for_change=true"
        for (query, account) in [("&last_etag=\(etag)", "new@p.iam.gserviceaccount.com"), ("", nil)] {
            try await connection.send(get(wait + query))
            await connection.advance(by: .seconds(30))
            #expect(try await connection.receiveNow() == nil)
            backend.update { $0.account.googleServiceAccount = account }
            await connection.advance(by: .milliseconds(500))
            let response = try await connection.receive()
            #expect(response.status == 200 && response.body.contains(account ?? "p.svc.id.goog"))
            #expect(response.headers["ETag"] != etag)
        }
        await connection.close()
    }

    @Test func `an account that the annotation no longer names is gone for its watcher`() async throws {
        let path = "/computeMetadata/v1/instance/service-accounts/gsa@p.iam.gserviceaccount.com/?recursive=true"
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        try await connection.send(get("\(path)&wait_for_change=true"))
        backend.update { $0.account.googleServiceAccount = nil }
        await connection.advance(by: .milliseconds(500))
        #expect(try await connection.receive().status == 404)
        await connection.close()
    }

    @Test func `scopes do not depend on an annotation`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        let path = "/computeMetadata/v1/instance/service-accounts/default/scopes?wait_for_change=true&timeout_sec=5"
        try await connection.send(get(path))
        backend.update { $0.account.googleServiceAccount = nil }
        await connection.advance(by: .milliseconds(4_900))
        #expect(try await connection.receiveNow() == nil)
        await connection.advance(by: .milliseconds(200))
        #expect(try await connection.receive().status == 200)
        await connection.close()
    }

    @Test func `what is learnt of the node later reaches a watcher`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        try await connection.send(get("/computeMetadata/v1/instance/zone?wait_for_change=true"))
        backend.update { $0.instance.zone = "europe-west1-c" }
        await connection.advance(by: .milliseconds(500))
        #expect(try await connection.receive().body == "projects/123456789012/zones/europe-west1-c")
        await connection.close()
    }

    @Test func `a watch does not outlive its pod`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        try await connection.send(get("\(projectID)?wait_for_change=true"))
        backend.update { $0.identification = .refused(.podGone) }
        await connection.advance(by: .seconds(2))
        #expect(try await connection.receive().status == 403)
        await connection.close()
    }

    @Test func `a watch without a time ends after an hour`() async throws {
        let connection = try await TestConnection(FakeBackend())
        try await connection.send(get("\(projectID)?wait_for_change=true&timeout_sec=9000000000000000000"))
        await connection.advance(by: .minutes(59))
        #expect(try await connection.receiveNow() == nil)
        await connection.advance(by: .minutes(2))
        #expect(try await connection.receive().status == 200)
        await connection.close()
    }

    @Test(arguments: [get("/"), "GET / HTTP/1.1\r\nHo", "x\r\n\r\n"])
    func `what a client sends behind a watch ends it, and is answered next`(_ next: String) async throws {
        let watch = get("\(projectID)?wait_for_change=true")
        for isOneRead in [false, true] {
            let connection = try await TestConnection(FakeBackend())
            if isOneRead, next.hasSuffix("\r\n\r\n") {
                try await connection.send(watch + next)
            } else {
                try await connection.send(watch)
                #expect(try await connection.receiveNow() == nil)
                try await connection.send(next)
            }
            #expect(try await connection.receive().body == "p")
            if next.hasPrefix("GET"), !next.hasSuffix("\r\n\r\n") {
                #expect(try await connection.receiveNow() == nil)
                try await connection.send("st: metadata\r\n\r\n")
            }
            #expect(try await connection.receive().status == (next.hasPrefix("x") ? 400 : 200))
            await connection.close()
        }
    }

    @Test func `a watch ends when the server stops or the client sends no more`() async throws {
        let draining = try await TestConnection(FakeBackend())
        try await draining.send(get("\(projectID)?wait_for_change=true"))
        try await draining.fire(DrainRequested())
        #expect(try await draining.receive().closes)
        #expect(!draining.isOpen)

        let closing = try await TestConnection(FakeBackend())
        try await closing.send(get("\(projectID)?wait_for_change=true"))
        try await closing.fire(ChannelEvent.inputClosed)
        #expect(try await closing.receive().closes)
        #expect(!closing.isOpen)
    }
}
