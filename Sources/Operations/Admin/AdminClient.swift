import Linux
import NIOCore
import NIOHTTP1
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Asks a running agent for one view over its Unix socket.
package struct AdminClient: Sendable {
    /// A dump of a node at its pod limit is about 100 KiB; this bounds what a wrong peer may send.
    private static let answerBytesMax = 64 * 1024 * 1024

    private let socketPath: String
    private let deadline: Duration

    /// - Parameters:
    ///   - socketPath: `admin.socket` of the agent.
    ///   - deadline: For the whole answer. A question that tries to mint takes as long as its upstreams, some 15 s.
    package init(socketPath: String, deadline: Duration = .seconds(30)) {
        self.socketPath = socketPath
        self.deadline = deadline
    }

    /// The view's body.
    package func get(_ view: String) async throws -> [UInt8] {
        try await withThrowingTaskGroup(of: [UInt8].self) { group in
            group.addTask { try await ask(view) }
            group.addTask {
                try await Task.sleep(for: deadline)
                throw AdminServerError(socketPath, "the agent accepted, but did not answer within \(deadline)")
            }
            defer { group.cancelAll() }
            return try await group.next() ?? []
        }
    }

    private func ask(_ view: String) async throws -> [UInt8] {
        let (longest, length) = (UnixListener.pathBytesMax, socketPath.utf8.count)
        guard length <= longest else {
            throw AdminServerError(
                socketPath,
                "the path has \(length) bytes, and the kernel takes \(longest) for a Unix socket: no agent has this one"
            )
        }
        let channel: NIOAsyncChannel<HTTPClientResponsePart, HTTPPart<HTTPRequestHead, ByteBuffer>>
        do {
            channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(unixDomainSocketPath: socketPath) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(RequestEncoderAdapter())
                        return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
                    }
                }
        } catch {
            throw AdminServerError(
                socketPath,
                "no agent answers there (\(Self.reason(of: error))); is it running on this node, and is admin.socket "
                    + "this path?", isUnreachable: true
            )
        }
        return try await channel.executeThenClose { inbound, outbound in
            let head = HTTPRequestHead(
                version: .http1_1, method: .GET, uri: view, headers: ["Host": "localhost", "Connection": "close"]
            )
            // In one write: the server may answer and close as soon as it has the head.
            try await outbound.write(contentsOf: [.head(head), .end(nil)])
            var status = HTTPResponseStatus.internalServerError
            var body: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let head): status = head.status
                case .body(let bytes):
                    guard body.count + bytes.readableBytes <= Self.answerBytesMax else {
                        throw AdminServerError(socketPath, "the answer is larger than \(Self.answerBytesMax) bytes")
                    }
                    body.append(contentsOf: bytes.readableBytesView)
                case .end: break
                }
            }
            guard status == .ok else {
                let words = String(decoding: body.prefix(4096), as: UTF8.self)
                throw AdminServerError(socketPath, words.isEmpty ? "the agent closed without an answer" : words)
            }
            return body
        }
    }

    /// The system's own words, without the client library's around them.
    private static func reason(of error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return errorText(error.errnoCode)
    }
}

/// The client codec writes `IOData` bodies; the async channel writes buffers.
private final class RequestEncoderAdapter: ChannelOutboundHandler {
    typealias OutboundIn = HTTPPart<HTTPRequestHead, ByteBuffer>
    typealias OutboundOut = HTTPClientRequestPart

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part: HTTPClientRequestPart =
            switch unwrapOutboundIn(data) {
            case .head(let head): .head(head)
            case .body(let bytes): .body(.byteBuffer(bytes))
            case .end(let trailers): .end(trailers)
            }
        context.write(wrapOutboundOut(part), promise: promise)
    }
}
