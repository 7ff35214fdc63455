import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Operations
import Testing

/// A listener that hostile clients reach: bounds hold, and everybody else goes on.
@Suite(.timeLimit(.minutes(10)))
struct MetricsServerTests {
    private static let loops = MultiThreadedEventLoopGroup.singleton

    private func server(
        _ limits: EndpointService.Limits = EndpointService.Limits(), readiness: Readiness = Readiness([])
    ) -> MetricsServer {
        MetricsServer(
            address: "127.0.0.1", port: 0, collect: { [MetricFamily(MetricNames.pods, .integer(3))] },
            readiness: { readiness }, limits: limits, eventLoopGroup: Self.loops, logger: Logger(label: "test"))
    }

    private func withServer(
        _ limits: EndpointService.Limits = EndpointService.Limits(), readiness: Readiness = Readiness([]),
        _ body: (Int) async throws -> Void
    ) async throws {
        let server = server(limits, readiness: readiness)
        try await server.start()
        let port = server.localPort ?? 0
        do {
            try await body(port)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    @Test("what was stopped does not start again, whichever comes first")
    func stopsForGood() async throws {
        let server = server()
        try await server.start()
        await server.stop()
        await #expect(throws: MetricsServerError.self) { try await server.start() }
        #expect(server.isStopped && server.localPort == nil)
        let other = self.server()
        async let start: Void = other.start()
        async let stop: Void = other.stop()
        _ = try? await start
        await stop
        #expect(other.localPort == nil)
    }

    @Test("a socket that could not be copied for want of descriptors is an error, and the next one is served")
    func noDescriptor() async throws {
        let server = server()
        let error = await #expect(throws: MetricsServerError.self) { try await server.start(adopting: -1) }
        #expect(error?.description.contains("no descriptor is left") == true)
        try await server.start()
        #expect(server.localPort != nil)
        await server.stop()
    }

    /// Sends `bytes` and returns all that comes until the server closes. `ends`: whether this side says that it is done.
    private func exchange(_ port: Int, _ bytes: String) async throws -> String {
        let channel = try await connect(port)
        return try await channel.executeThenClose { inbound, outbound in
            try? await outbound.write(ByteBuffer(string: bytes))
            var answer = ""
            do {
                for try await part in inbound { answer += String(buffer: part) }
            } catch let error as IOError where error.errnoCode == 104 || error.errnoCode == 32 {
                // A reset is an end as well.
            }
            return answer
        }
    }

    private func connect(_ port: Int) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        try await ClientBootstrap(group: Self.loops).connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
        }
    }

    private func get(_ port: Int, _ path: String, _ fields: String = "") async throws -> String {
        try await exchange(port, "GET \(path) HTTP/1.1\r\nHost: x\r\n\(fields)\r\n")
    }

    @Test("each path has its answer, and a connection has one")
    func paths() async throws {
        try await withServer { port in
            let metrics = try await exchange(port, "GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n")
            #expect(
                metrics.hasPrefix("HTTP/1.1 200 OK\r\n")
                    && metrics.hasSuffix(
                        "\r\n\r\n" + """
                            # HELP podidentd_pods Pods of this node that are known.
                            # TYPE podidentd_pods gauge
                            podidentd_pods 3

                            """)
            )
            let open = try await get(port, "/metrics", "Accept: application/openmetrics-text\r\n")
            #expect(open.contains("openmetrics-text; version=1.0.0") && open.hasSuffix("# EOF\n"))
            let head = try await exchange(port, "HEAD /metrics HTTP/1.1\r\n\r\n")
            #expect(head.contains("Content-Length: ") && head.hasSuffix("\r\n\r\n"))
            #expect(try await get(port, "/livez").hasSuffix("ok\n"))
            #expect(try await get(port, "/").hasPrefix("HTTP/1.1 404"))
            #expect(try await get(port, "http://x/metrics").hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test("readiness is 503 as long as a condition does not hold, and names it")
    func readiness() async throws {
        let readiness = Readiness([
            Readiness.Condition("hooks", problem: nil), Readiness.Condition("pods", problem: "not yet"),
        ])
        try await withServer(readiness: readiness) { port in
            let answer = try await get(port, "/readyz")
            #expect(answer.hasPrefix("HTTP/1.1 503") && answer.hasSuffix("[+]hooks ok\n[-]pods not yet\n"))
        }
    }

    @Test(
        "what is no request for a view is refused and the connection closed",
        arguments: [
            ("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 405"),
            ("DELETE /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405"),
            ("\u{16}\u{3}\u{1}\r\n\r\n", "HTTP/1.1 400"),
            ("GET /metrics HTTP/1.1\r\nBad Field: 1\r\n\r\n", "HTTP/1.1 400"),
            ("GET /metrics HTTP/1.1\r\nX: " + String(repeating: "a", count: 9000) + "\r\n\r\n", "HTTP/1.1 400"),
            ("GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            ("GET / HTTP/1.1\r\n" + String(repeating: "X: 1\r\n", count: 65) + "\r\n", "HTTP/1.1 400"),
            ("POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + String(repeating: "a", count: 9000), ""),
        ])
    func refusals(_ request: String, _ answer: String) async throws {
        try await withServer { port in
            let received = try await exchange(port, request)
            #expect(answer.isEmpty ? received.isEmpty : received.hasPrefix(answer), "\(received.prefix(200))")
        }
    }

    @Test("a client that sends nothing, or never ends, is closed")
    func slow() async throws {
        var limits = EndpointService.Limits()
        limits.requestTime = .milliseconds(50)
        try await withServer(limits) { port in
            let nothing = try await exchange(port, "")
            let half = try await exchange(port, "GET /metrics HTTP/1.1\r\nX: ")
            #expect(nothing.isEmpty && half.isEmpty)
        }
    }

    @Test("connections beyond the limit are closed unread, and room is found again when others go")
    func crowd() async throws {
        var limits = EndpointService.Limits()
        limits.connections = 2
        try await withServer(limits) { port in
            var held = [try await connect(port)]
            // One of those that are held may have come while another was being answered, and be closed unread itself.
            repeat { held.append(try await connect(port)) } while try await !get(port, "/livez").isEmpty
            for channel in held { try? await channel.channel.close().get() }
            var answer = ""
            while answer.isEmpty { answer = try await get(port, "/livez") }
            #expect(answer.hasPrefix("HTTP/1.1 200"))
        }
    }
}
