import NIOCore
import Synchronization
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

private let token = "/computeMetadata/v1/instance/service-accounts/default/token"

/// The server on a real loopback socket.
@Suite(.timeLimit(.minutes(10))) struct LiveServerTests {
    @Test func `requests in pieces, pipelined and on one connection are answered in order`() async throws {
        try await withServer { server in
            try await server.connect { client in
                try await client.send("GET / HTTP/1.1\r\nHo")
                try await client.send("st: metadata\r\n\r\n" + get(token) + get("/computeMetadata/"))
                let text = try await client.receive(until: "v1/\n")
                #expect(text.split(separator: "HTTP/1.1 200 OK").count == 3)
                let first = try #require(text.utf8Range(of: "computeMetadata/\n"))
                let second = try #require(text.utf8Range(of: "access_token"))
                #expect(first.lowerBound < second.lowerBound)
            }
        }
    }

    @Test func `accepted sockets send each answer at once`() async throws {
        let values = Mutex<[CInt]>([])
        try await withServer { descriptor in
            var value: CInt = -1
            var length = socklen_t(MemoryLayout<CInt>.size)
            _ = unsafe getsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &value, &length)
            values.withLock { $0.append(value) }
        } _: { server in
            try await server.connect { client in
                try await client.send(get(token, "Connection: close"))
                #expect(try await client.receiveAll().contains("access_token"))
            }
        }
        #expect(values.withLock(\.self) == [1])
    }

    @Test func `an untagged connection is reset unread`() async throws {
        try await withServer(tag: nil) { server in
            // The reset may arrive with the end of the handshake, or later. An orderly end would be no error.
            #expect(server.endOfPlainConnection() == ECONNRESET)
            #expect(server.observer.record.resets == [.untagged])
            #expect(server.observer.record.opened == 0)
        }
    }

    @Test func `a listening socket that has ended keeps no client from the others`() async throws {
        let failures = Atomic<Int>(0)
        try await withServer(acceptFailed: { failures.add(1, ordering: .relaxed) }) { server in
            for namespace in UInt64(1)...3 {
                let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
                try server.server.start(onListeningSocket: descriptor, namespace: namespace)
                // To the server that is what SOCK_DESTROY of sock_diag(7) does.
                if namespace != 3 { try #require(shutdown(descriptor, CInt(SHUT_RDWR)) == 0) }
            }
            let deadline = ContinuousClock.now + .seconds(60)
            while server.server.endedNamespaces != [1, 2], ContinuousClock.now < deadline { await Task.yield() }
            #expect(server.server.endedNamespaces == [1, 2])
            try await server.connect { client in
                try await client.send(get(token, "Connection: close"))
                #expect(try await client.receiveAll().contains("access_token"))
            }
            server.server.stop(namespace: 1)
            #expect(server.server.endedNamespaces == [2])
            #expect(
                server.server.descriptors(namespace: 3).count == 1 && server.server.descriptors(namespace: 1).isEmpty)
        }
        #expect(failures.load(ordering: .relaxed) == 0)
    }

    @Test func `a smuggled request is never answered`() async throws {
        try await withServer { server in
            for framing in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked"] {
                try await server.connect { client in
                    let smuggled = "POST / HTTP/1.1\r\nHost: metadata\r\n\(framing)\r\n\r\n0\r\n\r\n" + get(token)
                    try await client.send(smuggled)
                    let text = try await client.receiveAll()
                    #expect(text.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
                    #expect(text.split(separator: "Metadata-Flavor:").count == 2)
                }
            }
        }
    }

    @Test func `the answer to a body that is too large arrives, though the body is still coming`() async throws {
        try await withServer { server in
            try await server.connect { client in
                try await client.send(
                    get("/", method: "POST", "Content-Length: 300000", body: String(repeating: "x", count: 200_000)))
                #expect(try await client.receiveAll().hasPrefix("HTTP/1.1 413 Content Too Large\r\n"))
            }
        }
    }

    @Test func `a slow request is answered 408 and closed`() async throws {
        var configuration = TestConfiguration.test
        configuration.limits.requestTimeout = .milliseconds(500)
        configuration.limits.lingerTimeout = .seconds(2)
        try await withServer(configuration) { server in
            // Bytes that are there when the connection is accepted are read before any time is over, however busy the machine is.
            await server.server.pauseAccepting()
            try await server.connect { client in
                try await client.send("GET / HTT")
                server.server.resumeAccepting()
                let answer = try await client.receiveAll()
                #expect(answer.hasPrefix("HTTP/1.1 408 Request Timeout\r\n"), "\(answer)")
            }
        }
    }

    @Test func `stopping answers what has begun and ends what is idle`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        try await withServer(backend: backend) { server in
            try await server.connect { idle in
                try await idle.send(get("/"))
                _ = try await idle.receive(until: "computeMetadata/\n")
                try await server.connect { busy in
                    try await busy.send(get(token))
                    await backend.tokenRequestArrived()
                    async let stopped: Void = server.server.shutDownGracefully(within: .seconds(60))
                    #expect(try await idle.receiveAll() == "")
                    backend.releaseTokens()
                    let text = try await busy.receiveAll()
                    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
                    await stopped
                }
            }
            #expect(server.server.connectionCount == 0)
            await #expect(throws: (any Error).self) { try await server.connect { _ in } }
        }
    }

    @Test func `with a successor at work an idle connection has one more answer, and then ends`() async throws {
        let connection = try await TestConnection(FakeBackend())
        #expect(try await !connection.exchange(get("/")).closes)
        try await connection.fire(DrainRequested(keepsIdle: true))
        #expect(connection.isOpen)
        let answer = try await connection.exchange(get("/"))
        #expect(answer.status == 200 && answer.closes)
        #expect(!connection.isOpen)
        await connection.close()
    }

    @Test func `an idle connection that asks nothing more is closed at the end of the time`() async throws {
        try await withServer { server in
            try await server.connect { idle in
                try await idle.send(get("/"))
                _ = try await idle.receive(until: "computeMetadata/\n")
                await server.server.shutDownGracefully(within: .milliseconds(10), keepsIdle: true)
                #expect(try await idle.receiveAll() == "")
            }
        }
    }

    @Test func `while accepting is paused connections wait, and then are served`() async throws {
        try await withServer { server in
            await server.server.pauseAccepting()
            try await server.connect { waiting in
                try await waiting.send(get("/"))
                #expect(server.observer.record.opened == 0)
                server.server.resumeAccepting()
                #expect(try await waiting.receive(until: "computeMetadata/\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
            }
        }
    }

    @Test func `case 56 held watches do not keep a token waiting`() async throws {
        var configuration = TestConfiguration.test
        // All of them are one pod's here.
        configuration.limits.connectionsPerPod = 400
        try await withServer(configuration) { server in
            let watch = get("/computeMetadata/v1/instance/zone?wait_for_change=true")
            let watches = try await server.connections(300)
            for connection in watches { try await connection.writeAndFlush(ByteBuffer(string: watch)) }
            try await server.connect { client in
                try await client.send(get(token, "Connection: close"))
                #expect(try await client.receiveAll().contains("access_token"))
            }
            for connection in watches { try await connection.close() }
        }
    }

    @Test func `a pod with idle connections up to its limit is served on another one, and loses its oldest`()
        async throws
    {
        let backend = FakeBackend()
        backend.update { $0.isTokenCached = true }
        var configuration = TestConfiguration.test
        configuration.limits.connectionsPerPod = 3
        try await withServer(configuration, backend: backend) { server in
            try await server.connect { oldest in
                try await oldest.send(get("/"))
                _ = try await oldest.receive(until: "computeMetadata/\n")
                for _ in 1...3 {
                    // A kept connection, and one that ends with its answer: the fast path and NIO.
                    try await withKept(2, server) {
                        for header in ["X: y", "Connection: close"] {
                            try await server.connect { client in
                                try await client.send(get(token, header))
                                #expect(try await client.receive(until: "}").hasPrefix("HTTP/1.1 200 OK\r\n"))
                            }
                        }
                    }
                }
                #expect(try await oldest.receiveAll() == "")
            }
            #expect(server.observer.record.limits.contains(.idleConnections))
            #expect(!server.observer.record.limits.contains(.connectionsPerPod))
        }
    }

    /// Has as many connections that have had an answer and stay.
    private func withKept(_ count: Int, _ server: LiveServer, _ body: () async throws -> Void) async throws {
        guard count > 0 else { return try await body() }
        try await server.connect { client in
            try await client.send(get("/"))
            #expect(try await client.receive(until: "computeMetadata/\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
            try await withKept(count - 1, server, body)
        }
    }

    @Test func `unanswered requests of all connections hold a bounded number of bytes`() async throws {
        var configuration = TestConfiguration.test
        configuration.limits.unfinishedBytes = 64 * 1024
        try await withServer(configuration) { server in
            let part = "GET / HTTP/1.1\r\nHost: metadata\r\nX: " + String(repeating: "x", count: 20_000)
            try await server.connect { small in
                try await small.send("GET / HTTP/1.1\r\nHo")
                let greedy = try await server.connections(10)
                for connection in greedy { try await connection.writeAndFlush(ByteBuffer(string: part)) }
                // Three of ten times 20 KB fit.
                for _ in 1...7 { await server.observer.hit(.unfinishedBytes) }
                try await small.send("st: metadata\r\n\r\n")
                #expect(try await small.receive(until: "computeMetadata/\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
                for connection in greedy { try? await connection.close() }
            }
        }
    }

    @Test func `the kernel keeps little of what a client sends or does not read`() async throws {
        let sizes = Mutex<[[CInt]]>([])
        try await withServer { descriptor in
            let values = [SO_RCVBUF, SO_SNDBUF].map { option in
                var value: CInt = -1
                var length = socklen_t(MemoryLayout<CInt>.size)
                _ = unsafe getsockopt(descriptor, SOL_SOCKET, option, &value, &length)
                return value
            }
            sizes.withLock { $0.append(values) }
        } _: { server in
            try await server.connect { client in
                try await client.send(get(token, "Connection: close"))
                #expect(try await client.receiveAll().contains("access_token"))
            }
        }
        let limits = MetadataServerLimits()
        #expect(sizes.withLock(\.self) == [[limits.receiveBuffer * 2, limits.sendBuffer * 2]])
    }

    @Test func `a held watch sees the end of its connection, also behind bytes`() async throws {
        var configuration = TestConfiguration.test
        configuration.limits.connectionsPerPod = 400
        try await withServer(configuration) { server in
            let watch = get("/computeMetadata/v1/instance/zone?wait_for_change=true")
            let watches = try await server.connections(20)
            for (number, connection) in watches.enumerated() {
                try await connection.writeAndFlush(ByteBuffer(string: watch))
                // More than the kernel keeps for a connection that is not read.
                let rest = String(repeating: "x", count: number % 2 == 0 ? 0 : 300_000)
                connection.writeAndFlush(ByteBuffer(string: rest), promise: nil)
                connection.close(promise: nil)
            }
            for _ in watches { await server.observer.oneClosed() }
        }
    }

    @Test func `stopping does not wait longer than it may`() async throws {
        let backend = FakeBackend()
        backend.update { $0.holdsTokens = true }
        try await withServer(backend: backend) { server in
            try await server.connect { client in
                try await client.send(get(token))
                await backend.tokenRequestArrived()
                await server.server.shutDownGracefully(within: .milliseconds(10))
                #expect(try await client.receiveAll() == "")
            }
            backend.releaseTokens()
        }
    }
}
