import AsyncHTTPClient
import EventLoops
package import NIOCore
import NIOHTTP1
package import NIOSSL
import Tokens

/// HTTP/1.1 to an upstream with a limit on everything: connecting, the whole call, the body, idle connections.
///
/// Redirects are not followed and proxies not used: an upstream is the address that was configured. HTTP/1.1 rather
/// than HTTP/2, so that a connection that died silently takes one call with it and not all of them.
package final class UpstreamHTTPClient: Sendable {
    package struct Options: Sendable {
        package var tlsConfiguration = TLSConfiguration.makeClientConfiguration()
        /// A node's own network answers within milliseconds; a second is a packet lost once and sent again.
        package var connectTimeout = Duration.seconds(1)
        /// The time for calls that set none. Less than the shortest patience of a metadata client (3 s).
        package var callTimeout = Duration.milliseconds(2500)
        /// The time for which an idle connection is kept. Below that of the Kubernetes API server and Google's front
        /// ends, so that it is usually this side that closes them.
        package var idleTimeout = Duration.seconds(30)
        /// How long a stream may bring no byte. `nil`: no limit beyond the call's own timeout.
        package var silenceTimeout: Duration?
        /// Connections at once: a node's worth of pods may start together.
        package var connectionLimit = 32
        /// The DNS name in the URLs of all calls, which the server has to prove. `nil`: the URLs hold an IP address,
        /// and the certificate must name that.
        package var serverName: String?
        /// The host to connect to, if that is not what ``serverName`` resolves to.
        package var connectHost: String?

        package init() {}

        /// A URL's host as ``serverName``; `nil` for an IP address, which has colons or ends in a number, as no
        /// top-level domain does.
        package static func dnsName(_ host: String) -> String? {
            let isAddress = host.contains(":") || host.split(separator: ".").last.map { Int($0) != nil } ?? true
            return isAddress ? nil : host
        }
    }

    private let client: HTTPClient
    private let callTimeout: Duration
    private let calls: CallQueue

    package init(_ options: Options = Options(), eventLoopGroup: (any EventLoopGroup)? = nil) {
        var configuration = HTTPClient.Configuration()
        configuration.tlsConfiguration = options.tlsConfiguration
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = TimeAmount(options.connectTimeout)
        configuration.timeout.read = options.silenceTimeout.map { TimeAmount($0) }
        configuration.connectionPool.idleTimeout = TimeAmount(options.idleTimeout)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = options.connectionLimit
        // A refused connection is an answer; trying again is the token service's decision.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        if let name = options.serverName {
            if let host = options.connectHost { configuration.dnsOverride = [name: host] }
            configuration.http1_1ConnectionDebugInitializer = { Self.verify($0, proves: ServerName(name)) }
        }
        self.client = HTTPClient(
            eventLoopGroup: eventLoopGroup ?? EventLoopExecutor.upstreams.eventLoop,
            configuration: configuration
        )
        self.callTimeout = options.callTimeout
        self.calls = CallQueue(limit: options.connectionLimit - Self.connectionsForOthers)
    }

    /// Calls that are no client's do not queue: a list of pods, by which clients that wait are found, or a watch.
    private static let connectionsForOthers = 4

    /// Runs when the handshake is over and before a request is sent; its failure is the connection's.
    private static func verify(_ channel: any Channel, proves name: ServerName) -> EventLoopFuture<Void> {
        let verdict = channel.nioSSL_peerCertificate().flatMapThrowing { certificate in
            guard let certificate, name.isProved(by: certificate) else { throw TransportError(.tls(Self.wrongName)) }
        }
        // After the pool has heard of the failure: it does not expect a connection that closes while it starts.
        verdict.whenFailure { _ in channel.eventLoop.execute { channel.close(promise: nil) } }
        return verdict
    }

    static let wrongName = "the server's certificate is not for this name"

    /// Must be called once, after the last call: ends the calls in flight and closes every connection.
    package func shutdown() async {
        // The shutdown fails only if it was called before, in which case there is nothing left to close.
        try? await client.shutdown()
    }

    /// Sends `call` and reads all of its answer, whatever the status.
    ///
    /// A call whose connection closes before the answer is complete is sent once more: usually the connection was
    /// idle, and the call and its closing crossed. All calls of this agent may be repeated (they read, or mint).
    ///
    /// Calls for clients that wait (``ClientWait``) take turns, those first whose clients have waited longest. The time of
    /// a call begins with its turn.
    package func answer(to call: UpstreamCall) async throws(TransportError) -> UpstreamResponse {
        guard let began = ClientWait.began else { return try await answerNow(to: call) }
        do {
            return try await calls.run(since: began) { try await answerNow(to: call) }
        } catch {
            throw TransportError(error)
        }
    }

    private func answerNow(to call: UpstreamCall) async throws(TransportError) -> UpstreamResponse {
        do {
            return try await withDeadline(call.timeout ?? callTimeout) { [client] in
                do {
                    return try await Self.collect(client.execute(call.prepared, deadline: .distantFuture), call)
                } catch  where TransportError(error).cause == .connectionClosed {
                    return try await Self.collect(client.execute(call.prepared, deadline: .distantFuture), call)
                }
            }
        } catch {
            throw TransportError(error)
        }
    }

    /// Sends `call` and has the body of a success read by a reader, chunk by chunk, so that it is never whole in memory. Any
    /// other answer is read whole, and has no reader.
    ///
    /// ``UpstreamCall/bodyLimit`` bounds what is read of either. A reader begins again when the call is sent once more.
    package func answer<Reader: UpstreamBodyReader>(
        to call: UpstreamCall, reader: Reader
    ) async throws(TransportError) -> UpstreamReading<Reader> {
        guard let began = ClientWait.began else { return try await readNow(call, reader) }
        do {
            return try await calls.run(since: began) { try await readNow(call, reader) }
        } catch {
            throw TransportError(error)
        }
    }

    private func readNow<Reader: UpstreamBodyReader>(
        _ call: UpstreamCall, _ reader: Reader
    ) async throws(TransportError) -> UpstreamReading<Reader> {
        do {
            return try await withDeadline(call.timeout ?? callTimeout) { [client] in
                do {
                    return try await Self.read(client.execute(call.prepared, deadline: .distantFuture), call, reader)
                } catch  where TransportError(error).cause == .connectionClosed {
                    return try await Self.read(client.execute(call.prepared, deadline: .distantFuture), call, reader)
                }
            }
        } catch {
            throw TransportError(error)
        }
    }

    private static func read<Reader: UpstreamBodyReader>(
        _ response: HTTPClientResponse, _ call: UpstreamCall, _ reader: Reader
    ) async throws -> UpstreamReading<Reader> {
        guard (200..<300).contains(response.status.code) else {
            return UpstreamReading(answer: try await collect(response, call), reader: nil, end: .whole)
        }
        var reader = reader
        var end = UpstreamReading<Reader>.End.whole
        var size = 0
        for try await chunk in response.body {
            size += chunk.readableBytes
            if size > call.bodyLimit { end = .tooLarge } else if !reader.read(chunk) { end = .refused }
            // Leaving the loop ends the connection.
            if end != .whole { break }
        }
        try Task.checkCancellation()
        let answer = UpstreamResponse(status: Int(response.status.code), headers: response.headers)
        return UpstreamReading(answer: answer, reader: reader, end: end)
    }

    /// Sends `call` and hands its answer out chunk by chunk, if it is a 200; any other answer is read whole.
    ///
    /// The call's timeout covers the head (or a whole answer that is no 200). From there on, the stream is bounded by
    /// ``Options/silenceTimeout`` alone.
    ///
    /// `opened` is called once, when the 200 has arrived, and `chunk` with the bytes as they arrive; `false` from it ends
    /// the stream.
    package func stream(
        _ call: UpstreamCall, opened: () -> Void, chunk receive: (ByteBuffer) -> Bool
    ) async throws(TransportError) -> UpstreamStreamEnd {
        let limit = call.timeout ?? callTimeout
        do {
            let response = try await client.execute(call.prepared, deadline: .now() + TimeAmount(limit))
            guard response.status == .ok else {
                return .answered(try await withDeadline(limit) { try await Self.collect(response, call) })
            }
            opened()
            for try await chunk in response.body {
                guard receive(chunk) else { return .stopped }
            }
            try Task.checkCancellation()
            return .ended
        } catch {
            throw TransportError(error)
        }
    }

    private static func collect(_ response: HTTPClientResponse, _ call: UpstreamCall) async throws -> UpstreamResponse {
        var body: [UInt8] = []
        for try await chunk in response.body {
            guard body.count + chunk.readableBytes <= call.bodyLimit else {
                throw TransportError(.tooLarge(limit: call.bodyLimit))
            }
            body.append(contentsOf: chunk.readableBytesView)
        }
        // A cancelled body ends without an error: half an answer must not pass for one.
        try Task.checkCancellation()
        return UpstreamResponse(status: Int(response.status.code), headers: response.headers, body: body)
    }
}

extension UpstreamCall {
    fileprivate var prepared: HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers = headers
        request.body = body.map { .bytes($0) }
        request.tlsConfiguration = tlsConfiguration
        return request
    }
}

/// Runs `operation` and ends it when `limit` has passed.
private func withDeadline<Value: Sendable>(
    _ limit: Duration, _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            try await EventLoopExecutor.upstreams.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else { throw TransportError(.timedOut) }
        return value
    }
}
