package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Serves endpoints to operators over HTTP/1: one request a connection, and a bound on everything that a client decides.
///
/// Answers are made on a thread of the service's own, one after the other: however many ask, the rest of the agent
/// loses one thread at most.
package final class EndpointService: Sendable {
    /// Bounds on what a client may take.
    package struct Limits: Sendable {
        /// Connections at once; one more is closed unread.
        package var connections = 16
        /// Bytes of the request target and the header fields together.
        package var headerBytes = 8 * 1024
        package var headerFields = 64
        /// Bytes of a body, which is dropped.
        package var bodyBytes = 8 * 1024
        /// The time from accept to the end of the request.
        package var requestTime = TimeAmount.seconds(5)
        /// The time from the end of the request to the last byte of the answer.
        package var answerTime = TimeAmount.seconds(15)

        package init() {}
    }

    /// Makes an answer. May block.
    package typealias Respond = @Sendable (EndpointRequest) throws -> EndpointResponse
    /// Finds the answer's making for a request that waits for others; `nil`: ``Respond`` makes it at once.
    package typealias Query = @Sendable (EndpointRequest) -> (@Sendable () async throws -> EndpointResponse)?

    let limits: Limits
    let respond: Respond
    let query: Query
    let threads = NIOThreadPool(numberOfThreads: 1)
    private let isStopped = Mutex(false)
    private let connections = Atomic<Int>(0)

    package init(
        limits: Limits = Limits(), respond: @escaping Respond, query: @escaping Query = { _ in nil }
    ) {
        self.limits = limits
        self.respond = respond
        self.query = query
    }

    /// Must be called before the first connection. A service that was stopped does not start again.
    package func start() {
        // A pool of threads that has been shut down ends the process when it is told to start.
        isStopped.withLock { isStopped in
            if !isStopped { threads.start() }
        }
    }

    /// Stops the service; to be called after the last connection.
    package func stop() async {
        isStopped.withLock { $0 = true }
        try? await threads.shutdownGracefully()
    }

    /// Sets up an accepted connection, or fails it when there are too many.
    package func adopt(_ channel: any Channel) throws {
        guard connections.wrappingAdd(1, ordering: .relaxed).newValue <= limits.connections else {
            connections.wrappingSubtract(1, ordering: .relaxed)
            throw TooManyConnections()
        }
        channel.closeFuture.whenComplete { [self] _ in
            connections.wrappingSubtract(1, ordering: .relaxed)
        }
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = limits.headerBytes
        decoding.maxHeaderListSize = limits.headerBytes
        decoding.maxHeaderFieldCount = limits.headerFields
        let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding)
        try channel.pipeline.syncOperations.addHandlers(
            HTTPResponseEncoder(), ByteToMessageHandler(decoder), EndpointHandler(service: self)
        )
    }

    private struct TooManyConnections: Error {}
}
