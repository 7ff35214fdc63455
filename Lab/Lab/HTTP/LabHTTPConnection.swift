import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL

/// One accepted connection: reads a request, meets its fault, answers, and goes on while the client keeps it alive.
struct LabHTTPConnection: Sendable {
    typealias Channel = NIOAsyncChannel<HTTPServerRequestPart, ByteBuffer>
    private typealias Iterator = NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator
    private typealias Outbound = NIOAsyncChannelOutboundWriter<ByteBuffer>

    /// Larger than any request of the agent; more is answered with 413.
    private static let bodyByteLimit = 1 << 20

    /// The connection's fate after an answer.
    private enum Continuation {
        case keepAlive
        case close
        case reset
    }

    let server: LabHTTPServer
    let channel: Channel
    let number: Int

    func run() async {
        // Every error here means that the client has gone or never spoke TLS or HTTP: the connection just ends.
        try? await channel.executeThenClose { inbound, outbound in
            if server.faults.resetsNextConnection() {
                await channel.channel.reset()
                return
            }
            var iterator = inbound.makeAsyncIterator()
            while let (head, request) = try await nextRequest(&iterator) {
                switch try await answer(request, keepAlive: head.isKeepAlive, on: outbound) {
                case .keepAlive:
                    guard server.setBusy(false, connection: number) else { return }
                case .close:
                    return
                case .reset:
                    await channel.channel.reset()
                    return
                }
            }
        }
    }

    private func nextRequest(_ iterator: inout Iterator) async throws -> (HTTPRequestHead, LabRequest)? {
        guard case .head(let head)? = try await iterator.next(isolation: #isolation) else { return nil }
        let received = Date()
        _ = server.setBusy(true, connection: number)
        var body = ByteBuffer()
        reading: while let part = try await iterator.next(isolation: #isolation) {
            switch part {
            case .head: return nil
            case .body(var bytes):
                // One byte beyond the limit is kept, so that `answer` sees the excess.
                let room = Self.bodyByteLimit + 1 - body.readableBytes
                if let slice = bytes.readSlice(length: min(room, bytes.readableBytes)) {
                    body.writeImmutableBuffer(slice)
                }
            case .end: break reading
            }
        }
        let certificate =
            server.configuration.tls == nil ? nil : try await channel.channel.nioSSL_peerCertificate().get()
        let request = LabRequest(
            method: head.method.rawValue,
            target: head.uri,
            headers: head.headers,
            body: body,
            clientCertificate: try certificate?.toDERBytes(),
            connection: number,
            received: received
        )
        return (head, request)
    }

    private func answer(_ request: LabRequest, keepAlive: Bool, on outbound: Outbound) async throws -> Continuation {
        let effect = server.faults.effect(on: request)
        switch effect {
        case .resetOnAccept, .resetAfterRequest:
            record(request, status: nil)
            return .reset
        case .drop:
            record(request, status: nil)
            return .close
        case .hang:
            record(request, status: nil)
            await untilClientLeaves { try await Task.sleep(for: .seconds(86_400)) }
            return .close
        case .garbage:
            record(request, status: nil)
            try await outbound.write(ByteBuffer(bytes: [0x00, 0xFF, 0x16, 0x03, 0x01, 0x0D, 0x0A, 0x0D, 0x0A]))
            return .close
        case .status(let status, let body, let retryAfter):
            var headers = [("Content-Type", "application/json")]
            if let retryAfter { headers.append(("Retry-After", String(retryAfter))) }
            let response = LabResponse(status: status, headers: headers, body: .bytes(ByteBuffer(string: body)))
            return try await send(response, to: request, keepAlive: keepAlive, on: outbound)
        case .malformedJSON:
            let response = LabResponse.text(200, #"{"access_token": "#, contentType: "application/json")
            return try await send(response, to: request, keepAlive: keepAlive, on: outbound)
        case .delay(let duration):
            try await Task.sleep(for: duration)
        case .truncatedBody, nil:
            break
        }
        guard request.body.readableBytes <= Self.bodyByteLimit else {
            return try await send(.text(413, "request body too large\n"), to: request, keepAlive: false, on: outbound)
        }
        let response = await server.handler(request)
        let isTruncated = effect == .truncatedBody
        return try await send(response, to: request, keepAlive: keepAlive, isTruncated: isTruncated, on: outbound)
    }

    private func send(
        _ response: LabResponse,
        to request: LabRequest,
        keepAlive: Bool,
        isTruncated: Bool = false,
        on outbound: Outbound
    ) async throws -> Continuation {
        record(request, status: response.status, user: response.user)
        switch response.body {
        case .bytes(let bytes):
            var message = head(of: response, keepAlive: keepAlive, framing: "Content-Length: \(bytes.readableBytes)")
            if isTruncated {
                message.writeImmutableBuffer(
                    bytes.getSlice(at: bytes.readerIndex, length: bytes.readableBytes / 2) ?? bytes)
                try await outbound.write(message)
                return .close
            }
            if request.method != "HEAD" { message.writeImmutableBuffer(bytes) }
            try await outbound.write(message)
        case .stream(let produce):
            try await outbound.write(head(of: response, keepAlive: keepAlive, framing: "Transfer-Encoding: chunked"))
            if isTruncated { return .close }
            await untilClientLeaves { try await produce(LabBodyWriter { try await outbound.write($0) }) }
            try await outbound.write(ByteBuffer(string: "0\r\n\r\n"))
        }
        return keepAlive ? .keepAlive : .close
    }

    /// Runs `produce`, cancelled as soon as the connection is closed from the other side.
    private func untilClientLeaves(_ produce: @escaping @Sendable () async throws -> Void) async {
        let (closed, continuation) = AsyncStream.makeStream(of: Void.self)
        channel.channel.closeFuture.whenComplete { _ in continuation.finish() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await produce() }
            group.addTask { for await _ in closed {} }
            await group.next()
            group.cancelAll()
        }
    }

    private func head(of response: LabResponse, keepAlive: Bool, framing: String) -> ByteBuffer {
        let reason = HTTPResponseStatus(statusCode: response.status).reasonPhrase
        var text = "HTTP/1.1 \(response.status) \(reason)\r\n"
        for (name, value) in response.headers {
            text += "\(name): \(value)\r\n"
        }
        text += "Date: \(Timestamp.http(server.configuration.clock.now))\r\n"
        if !keepAlive { text += "Connection: close\r\n" }
        return ByteBuffer(string: text + framing + "\r\n\r\n")
    }

    private func record(_ request: LabRequest, status: Int?, user: String? = nil) {
        server.requests.record(LabRequestRecord(time: Date(), request: request, user: user, status: status))
    }
}
