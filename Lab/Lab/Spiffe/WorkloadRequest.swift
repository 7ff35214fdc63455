import Foundation
import NIOCore
import NIOHPACK
import NIOHTTP2
package import NIOPosix

/// One raw call of a gRPC server, with everything in the caller's hand: what no real client would send.
package struct WorkloadRequest: Sendable {
    package var path = "/SpiffeWorkloadAPI/FetchX509SVID"
    package var authority = "169.254.169.254:9256"
    package var method = "POST"
    /// The fields beside those that every call has.
    package var headers: [(String, String)] = [("workload.spiffe.io", "true")]
    /// The bytes of the body: an empty message.
    package var body: [UInt8] = [0, 0, 0, 0, 0]
    /// How many messages to wait for before the stream is reset; `nil`: until it ends.
    package var messages: Int? = 1

    package init() {}
}

/// The answer to one request.
package struct WorkloadResponse: Sendable, Codable, Equatable {
    package var httpStatus: Int?
    package var grpcStatus: Int?
    package var grpcMessage: String?
    /// Base64.
    package var messages: [String] = []
    /// How the connection ended, if the call did not.
    package var failure: String?

    package init() {}
}

/// Makes raw calls, each on a connection of its own, and says what came back.
package enum WorkloadProbe {
    /// The server's end of a call, as its client finds it.
    package enum Endpoint: Sendable {
        case tcp(host: String, port: Int)
        case unix(path: String)
        /// A connected socket that the client was given.
        case descriptor(CInt)
    }

    /// Connects, calls, and returns when the call has ended or `deadline` has passed.
    package static func call(
        _ request: WorkloadRequest, _ endpoint: Endpoint, deadline: Duration = .seconds(60),
        group: MultiThreadedEventLoopGroup = .singleton
    ) async throws -> WorkloadResponse {
        let collector = AnswerCollector(group.next(), wanted: request.messages)
        let channel: any Channel
        do {
            let bootstrap = ClientBootstrap(group: collector.eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                            mode: .client, connectionConfiguration: .init(), streamConfiguration: .init(),
                            inboundStreamInitializer: { $0.close() })
                        try channel.pipeline.syncOperations.addHandler(ConnectionEnd(collector))
                    }
                }
            switch endpoint {
            case .tcp(let host, let port): channel = try await bootstrap.connect(host: host, port: port).get()
            case .unix(let path): channel = try await bootstrap.connect(unixDomainSocketPath: path).get()
            case .descriptor(let number): channel = try await bootstrap.withConnectedSocket(number).get()
            }
        } catch {
            collector.eventLoop.execute { collector.end("\(error)") }
            return try await collector.answer.get()
        }
        let timer = channel.eventLoop.scheduleTask(in: TimeAmount(deadline)) {
            collector.end("no end within \(deadline)")
        }
        let multiplexer: NIOHTTP2Handler.StreamMultiplexer
        do {
            multiplexer = try await channel.pipeline.handler(type: NIOHTTP2Handler.self).flatMap { $0.multiplexer }
                .get()
        } catch {
            // A server that closes at once has taken the pipeline apart by now.
            collector.eventLoop.execute { collector.end("the connection was closed: \(error)") }
            timer.cancel()
            return try await collector.answer.get()
        }
        multiplexer.createStreamChannel(promise: nil) { stream in
            stream.eventLoop.makeCompletedFuture {
                try stream.pipeline.syncOperations.addHandler(RawCall(request, collector))
            }
        }
        let answer = try await collector.answer.get()
        timer.cancel()
        try? await channel.close().get()
        return answer
    }
}

/// Collects the frames of one call's answer.
private final class AnswerCollector: Sendable {
    let eventLoop: any EventLoop
    let answer: EventLoopFuture<WorkloadResponse>
    private let promise: EventLoopPromise<WorkloadResponse>
    private let state: NIOLoopBoundBox<(WorkloadResponse, ByteBuffer)>
    private let wanted: Int?

    init(_ eventLoop: any EventLoop, wanted: Int?) {
        self.eventLoop = eventLoop
        self.wanted = wanted
        promise = eventLoop.makePromise()
        answer = promise.futureResult
        state = .makeBoxSendingValue((WorkloadResponse(), ByteBuffer()), eventLoop: eventLoop)
    }

    func receive(_ headers: HPACKHeaders, isLast: Bool) {
        state.value.0.httpStatus = headers.first(name: ":status").flatMap { Int($0) } ?? state.value.0.httpStatus
        state.value.0.grpcStatus = headers.first(name: "grpc-status").flatMap { Int($0) } ?? state.value.0.grpcStatus
        state.value.0.grpcMessage = headers.first(name: "grpc-message") ?? state.value.0.grpcMessage
        if isLast { end(nil) }
    }

    /// Whether the call has brought what it was to bring.
    func receive(_ bytes: ByteBuffer) -> Bool {
        state.value.1.writeImmutableBuffer(bytes)
        while let length = state.value.1.getInteger(at: state.value.1.readerIndex + 1, as: UInt32.self),
            state.value.1.readableBytes >= Int(length) + 5
        {
            state.value.1.moveReaderIndex(forwardBy: 5)
            let message = state.value.1.readBytes(length: Int(length)) ?? []
            state.value.0.messages.append(Data(message).base64EncodedString())
        }
        guard let wanted, state.value.0.messages.count >= wanted else { return false }
        return true
    }

    func end(_ failure: String?) {
        eventLoop.assertInEventLoop()
        state.value.0.failure = failure
        promise.succeed(state.value.0)
    }
}

/// Sends one call and collects its answer.
private final class RawCall: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let request: WorkloadRequest
    private let collector: AnswerCollector

    init(_ request: WorkloadRequest, _ collector: AnswerCollector) {
        self.request = request
        self.collector = collector
    }

    func channelActive(context: ChannelHandlerContext) {
        var headers: HPACKHeaders = [
            ":method": request.method, ":scheme": "http", ":path": request.path, ":authority": request.authority,
            "content-type": "application/grpc", "te": "trailers",
        ]
        for (name, value) in request.headers {
            if name == "content-type" {
                headers.replaceOrAdd(name: name, value: value)
            } else {
                headers.add(name: name, value: value)
            }
        }
        context.write(wrapOutboundOut(.headers(.init(headers: headers, endStream: false))), promise: nil)
        context.writeAndFlush(
            wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer(bytes: request.body)), endStream: true))),
            promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let frame): collector.receive(frame.headers, isLast: frame.endStream)
        case .data(let frame):
            guard case .byteBuffer(let bytes) = frame.data, collector.receive(bytes) else { return }
            collector.end(nil)
            context.close(promise: nil)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        collector.end("\(error)")
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        collector.end("the stream was closed")
    }
}

@available(*, unavailable)
extension RawCall: Sendable {}

/// Notices that the server has closed the connection.
private final class ConnectionEnd: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let collector: AnswerCollector

    init(_ collector: AnswerCollector) {
        self.collector = collector
    }

    func channelInactive(context: ChannelHandlerContext) {
        collector.end("the connection was closed")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        collector.end("\(error)")
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension ConnectionEnd: Sendable {}
