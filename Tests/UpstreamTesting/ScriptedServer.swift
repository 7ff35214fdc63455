import NIOCore
import NIOHTTP1
import NIOPosix
package import NIOSSL
import Synchronization

/// An HTTPS server on 127.0.0.1 that answers as a test says, and remembers what it was asked.
package final class ScriptedServer: Sendable {
    package typealias Script = @Sendable (ScriptedRequest) async -> ScriptedReply
    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, ByteBuffer>

    package let port: Int
    private let log = Mutex<[ScriptedRequest]>([])

    private init(port: Int) {
        self.port = port
    }

    package var url: String { "https://127.0.0.1:\(port)" }
    /// Every request so far, in order of arrival.
    package var requests: [ScriptedRequest] { log.withLock { $0 } }

    /// Serves while `body` runs.
    @discardableResult
    package static func serve<Result: Sendable>(
        tls: TLSConfiguration,
        script: @escaping Script,
        body: @escaping @Sendable (ScriptedServer) async throws -> Result
    ) async throws -> Result {
        let context = try NIOSSLContext(configuration: tls)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        guard let port = listener.channel.localAddress?.port else { throw ChannelError.unknownLocalAddress }
        let server = ScriptedServer(port: port)
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                try await listener.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { group in
                        var number = 0
                        for try await connection in connections {
                            number += 1
                            group.addTask { [number] in
                                // A client that goes away ends its connection, not the test.
                                try? await server.serve(connection, number: number, script: script)
                            }
                        }
                    }
                }
                return nil
            }
            group.addTask { try await body(server) }
            defer { group.cancelAll() }
            while let finished = try await group.next() {
                if let result = finished { return result }
            }
            throw CancellationError()
        }
    }

    private func serve(_ connection: Connection, number: Int, script: Script) async throws {
        let channel = connection.channel
        try await connection.executeThenClose { inbound, outbound in
            var head: HTTPRequestHead?
            var body: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let value): (head, body) = (value, [])
                case .body(let chunk): body += chunk.readableBytesView
                case .end:
                    guard let head else { return }
                    let certificate = try await channel.nioSSL_peerCertificate().get()
                    let request = ScriptedRequest(
                        method: head.method,
                        target: head.uri,
                        headers: head.headers,
                        body: body,
                        clientSerial: certificate?.serialNumber ?? [],
                        connection: number
                    )
                    log.withLock { $0.append(request) }
                    guard try await Self.write(await script(request), to: outbound) else { return }
                }
            }
        }
    }

    /// Returns whether the connection stays open for another request.
    private static func write(
        _ reply: ScriptedReply, to outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws -> Bool {
        switch reply {
        case .answer(let status, let headers, let body):
            let fields = headers.map { "\($0.name): \($0.value)\r\n" }.joined()
            let head = "HTTP/1.1 \(status) Scripted\r\ncontent-length: \(body.utf8.count)\r\n\(fields)\r\n"
            try await outbound.write(ByteBuffer(string: head + body))
            return true
        case .stream(let parts):
            try await outbound.write(ByteBuffer(string: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"))
            for await part in parts {
                guard case .text(let text) = part else { return false }
                let size = String(text.utf8.count, radix: 16)
                try await outbound.write(ByteBuffer(string: "\(size)\r\n\(text)\r\n"))
            }
            try await outbound.write(ByteBuffer(string: "0\r\n\r\n"))
            return true
        case .raw(let text):
            try await outbound.write(ByteBuffer(string: text))
            return false
        case .hang:
            try await Task.sleep(for: .seconds(3600))
            return false
        case .close:
            return false
        }
    }
}
