import NIOCore
import NIOHTTP1
import Synchronization
import Testing
import Tokens
import UpstreamTesting

@testable import UpstreamHTTP

@Suite("HTTP to upstreams")
struct UpstreamHTTPClientTests {
    private func options(_ authority: TestAuthority) throws -> UpstreamHTTPClient.Options {
        var options = UpstreamHTTPClient.Options()
        options.tlsConfiguration = try authority.clientConfiguration()
        options.callTimeout = .seconds(10)
        return options
    }

    /// Runs one call against a server that always replies the same.
    private func outcome(
        of reply: ScriptedReply, bodyLimit: Int = 1000, timeout: Duration = .seconds(60)
    ) async throws -> (Result<UpstreamResponse, TransportError>, requests: Int) {
        let authority = try TestAuthority()
        let client = UpstreamHTTPClient(try options(authority))
        let outcome = try await ScriptedServer.serve(tls: authority.serverConfiguration()) { _ in
            reply
        } body: { server in
            let result: Result<UpstreamResponse, TransportError>
            do throws(TransportError) {
                result = .success(
                    try await client.answer(
                        to: UpstreamCall(.GET, server.url + "/", timeout: timeout, bodyLimit: bodyLimit)
                    )
                )
            } catch {
                result = .failure(error)
            }
            return (result, requests: server.requests.count)
        }
        await client.shutdown()
        return outcome
    }

    @Test("An answer is read whole, up to its limit to the byte")
    func answers() async throws {
        let text = String(repeating: "x", count: 1000)
        let (whole, requests) = try await outcome(of: .answer(418, headers: ["retry-after": "3"], text))
        #expect(try whole.get().status == 418)
        #expect(try whole.get().body.count == 1000)
        #expect(try whole.get().retryAfter() == .seconds(3))
        #expect(requests == 1)
        let (tooLarge, _) = try await outcome(of: .answer(200, text), bodyLimit: 999)
        #expect(tooLarge.failure?.cause == .tooLarge(limit: 999))
    }

    @Test("Redirects are answers, not instructions")
    func redirects() async throws {
        let (result, requests) = try await outcome(of: .answer(302, headers: ["location": "https://127.0.0.1:1/"], ""))
        #expect(try result.get().status == 302)
        #expect(requests == 1)
    }

    @Test("Silence ends at the deadline, before the answer or in the middle of it")
    func deadlines() async throws {
        let (hung, _) = try await outcome(of: .hang, timeout: .milliseconds(300))
        #expect(hung.failure?.cause == .timedOut)
        let (reply, stream) = ScriptedReply.openStream()
        stream.yield(.text("half"))
        let (halved, _) = try await outcome(of: reply, timeout: .milliseconds(300))
        #expect(halved.failure?.cause == .timedOut)
    }

    @Test("A connection that closes without an answer is tried once more, and only once")
    func closedConnections() async throws {
        let (result, requests) = try await outcome(of: .close)
        #expect(result.failure?.cause == .connectionClosed)
        #expect(requests == 2)
    }

    @Test("An answer that is cut is no answer")
    func cutAnswers() async throws {
        let (result, _) = try await outcome(of: .raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"))
        #expect(result.failure != nil)
    }

    @Test("What is no HTTP is an error without its bytes")
    func garbage() async throws {
        let (result, _) = try await outcome(of: .raw("SSH-2.0-OpenSSH_9.6\r\n"))
        let error = try #require(result.failure)
        #expect(!error.description.contains("OpenSSH"))
    }

    @Test("A refused connection is said at once and in those words")
    func refused() async throws {
        let authority = try TestAuthority()
        // A port that was just free: the server is gone by the time it is asked.
        let url = try await ScriptedServer.serve(tls: authority.serverConfiguration()) { _ in
            .hang
        } body: {
            $0.url
        }
        let client = UpstreamHTTPClient(try options(authority))
        await #expect(throws: TransportError(.connectionRefused)) {
            try await client.answer(to: UpstreamCall(.GET, url))
        }
        await client.shutdown()
        let failure = TransportError(.connectionRefused).failure(of: .kubernetes, at: "here")
        #expect(failure.message == "here: connection refused")
        #expect(failure.kind == .unavailable)
    }

    @Test("A server with a certificate of a stranger is not spoken to")
    func strangers() async throws {
        let client = UpstreamHTTPClient(try options(TestAuthority()))
        try await ScriptedServer.serve(tls: TestAuthority("a stranger").serverConfiguration()) { _ in
            .answer(200, "secret")
        } body: { server in
            await #expect(throws: TransportError(.tls("CERTIFICATE_VERIFY_FAILED"))) {
                try await client.answer(to: UpstreamCall(.GET, server.url))
            }
            #expect(server.requests.isEmpty)
        }
        await client.shutdown()
    }

    @Test("A server proves the name that was asked for; its address, and names of others, are not enough")
    func serverNames() async throws {
        let authority = try TestAuthority()
        // The server's certificate also names 127.0.0.1, which is where it is.
        let tls = try authority.serverConfiguration(names: ["kubernetes.test", "*.pool.test"])
        try await ScriptedServer.serve(tls: tls) { _ in
            .answer(200, "")
        } body: { [options = try options(authority)] server in
            for (name, isProved) in [
                ("kubernetes.test", true), ("a.pool.test", true), ("other.test", false), ("a.b.pool.test", false),
            ] {
                var options = options
                options.serverName = name
                options.connectHost = "127.0.0.1"
                let client = UpstreamHTTPClient(options)
                let call = UpstreamCall(.GET, "https://\(name):\(server.port)/")
                if isProved {
                    let answer = try await client.answer(to: call)
                    #expect(answer.status == 200)
                } else {
                    await #expect(throws: TransportError(.tls(UpstreamHTTPClient.wrongName))) {
                        try await client.answer(to: call)
                    }
                }
                await client.shutdown()
            }
            #expect(server.requests.count == 2)
        }
    }

    @Test(
        "Names match whole, or all but their first label",
        arguments: [
            ("sts.googleapis.com", "sts.googleapis.com", true), ("STS.googleapis.com.", "sts.GOOGLEAPIS.com", true),
            ("sts.googleapis.com", "*.googleapis.com", true), ("googleapis.com", "*.googleapis.com", false),
            ("a.sts.googleapis.com", "*.googleapis.com", false), ("sts.googleapis.com", "*", false),
            ("sts.googleapis.com", "s*.googleapis.com", false), ("sts.googleapis.com", "", false),
            ("sts.googleapis.com", "googleapis.com", false), (".googleapis.com", "*.googleapis.com", false),
        ]
    )
    func nameMatching(name: String, pattern: String, expected: Bool) {
        #expect(ServerName(name).matches(pattern) == expected)
    }

    @Test("Addresses are told from names")
    func addresses() {
        for address in ["10.0.0.1", "::1", "fd00::1", ""] {
            #expect(UpstreamHTTPClient.Options.dnsName(address) == nil)
        }
        for name in ["localhost", "a.b", "1.2.3.4.example"] {
            #expect(UpstreamHTTPClient.Options.dnsName(name) == name)
        }
    }

    @Test("A stream hands out its chunks, says how it ended and notices silence")
    func streams() async throws {
        let authority = try TestAuthority()
        var options = try options(authority)
        options.silenceTimeout = .seconds(1)
        let client = UpstreamHTTPClient(options)
        try await ScriptedServer.serve(tls: authority.serverConfiguration()) { request in
            let (reply, stream) = ScriptedReply.openStream()
            stream.yield(.text("one\ntw"))
            stream.yield(.text("o\n"))
            switch request.target {
            case "/cut": stream.yield(.cut)
            case "/whole", "/stopped": stream.finish()
            case "/no": return .answer(410, "gone")
            default: break
            }
            return reply
        } body: { server in
            func stream(_ path: String, isWanted: Bool = true) async throws -> (UpstreamStreamEnd, String) {
                var bytes: [UInt8] = []
                let end = try await client.stream(UpstreamCall(.GET, server.url + path), opened: {}) {
                    bytes += $0.readableBytesView
                    return isWanted
                }
                return (end, String(decoding: bytes, as: UTF8.self))
            }
            for (path, expected) in [("/cut", TransportError(.connectionClosed)), ("/silent", TransportError(.silent))]
            {
                await #expect(throws: expected) { try await stream(path) }
            }
            let whole = try await stream("/whole")
            guard case .ended = whole.0 else {
                Issue.record("\(whole)")
                return
            }
            #expect(whole.1 == "one\ntwo\n")
            let stopped = try await stream("/stopped", isWanted: false)
            guard case .stopped = stopped.0 else {
                Issue.record("\(stopped)")
                return
            }
            #expect(whole.1.hasPrefix(stopped.1))
            let refused = try await stream("/no")
            guard case .answered(let answer) = refused.0 else {
                Issue.record("\(refused)")
                return
            }
            #expect(answer.bodyText == "gone")
        }
        await client.shutdown()
    }

    private struct Counter: UpstreamBodyReader {
        var count = 0
        var limit = Int.max

        mutating func read(_ chunk: ByteBuffer) -> Bool {
            count += chunk.readableBytes
            return count < limit
        }
    }

    @Test("A body is read while it arrives: to its end, its limit, or as far as the reader wants; again if it is cut")
    func readers() async throws {
        let authority = try TestAuthority()
        let client = UpstreamHTTPClient(try options(authority))
        let cuts = Mutex(0)
        try await ScriptedServer.serve(tls: authority.serverConfiguration()) { request in
            if request.target == "/no" { return .answer(403, "no") }
            let (reply, stream) = ScriptedReply.openStream()
            stream.yield(.text(String(repeating: "x", count: 1000)))
            if request.target == "/cut" { cuts.withLock { $0 += 1 } }
            if request.target == "/cut", cuts.withLock({ $0 }) == 1 {
                stream.yield(.cut)
            } else {
                stream.finish()
            }
            return reply
        } body: { server in
            for path in ["/whole", "/cut"] {
                let reading = try await client.answer(to: UpstreamCall(.GET, server.url + path), reader: Counter())
                #expect(reading.end == .whole && reading.reader?.count == 1000 && reading.answer.body.isEmpty)
            }
            #expect(cuts.withLock { $0 } == 2)
            let long = UpstreamCall(.GET, server.url + "/long", bodyLimit: 999)
            #expect(try await client.answer(to: long, reader: Counter()).end == .tooLarge)
            let call = UpstreamCall(.GET, server.url + "/refused")
            #expect(try await client.answer(to: call, reader: Counter(limit: 1)).end == .refused)
            let refused = try await client.answer(to: UpstreamCall(.GET, server.url + "/no"), reader: Counter())
            #expect(refused.reader == nil && refused.answer.bodyText == "no")
        }
        await client.shutdown()
    }
}

extension Result {
    fileprivate var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }
}
