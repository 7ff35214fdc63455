package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Serves `/metrics`, `/livez` and `/readyz` over HTTP, and nothing else.
package final class MetricsServer: Sendable {
    private let address: String
    private let port: Int
    private let service: EndpointService
    private let eventLoopGroup: any EventLoopGroup
    private let logger: Logger
    private let storage = Mutex(Storage())

    private struct Storage {
        var channel: (any Channel)?
        var isStopped = false
    }

    /// Makes answers from `collect` and `readiness`, which may block.
    package init(
        address: String, port: Int, collect: @escaping @Sendable () -> [MetricFamily],
        readiness: @escaping @Sendable () -> Readiness, limits: EndpointService.Limits = EndpointService.Limits(),
        eventLoopGroup: any EventLoopGroup, logger: Logger
    ) {
        self.address = address
        self.port = port
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
        service = EndpointService(limits: limits) { request in
            switch request.path {
            case "/metrics":
                let format = MetricExposition(accept: request.accept)
                return EndpointResponse(.ok, contentType: format.contentType, body: format.encode(collect()))
            case "/livez":
                return .text(.ok, "ok")
            case "/readyz":
                let readiness = readiness()
                return .text(readiness.isReady ? .ok : .serviceUnavailable, readiness.text)
            default:
                return .text(.notFound, "only /metrics, /livez and /readyz are served here")
            }
        }
    }

    /// Binds the address and port, which no other socket may share, and serves.
    package func start() async throws(MetricsServerError) {
        do {
            try await serve(bootstrap().bind(host: address, port: port).get())
        } catch {
            throw failure(error)
        }
    }

    /// Serves on a bound stream socket, which is the server's from here on, also when this throws. A negative `descriptor` is a
    /// copy that could not be made, for want of descriptors.
    package func start(adopting descriptor: CInt) async throws(MetricsServerError) {
        // NIO would end the process.
        guard descriptor >= 0 else { throw failure(NoDescriptor()) }
        do {
            try await serve(bootstrap().withBoundSocket(descriptor).get())
        } catch {
            throw failure(error)
        }
    }

    private func bootstrap() -> ServerBootstrap {
        service.start()
        return ServerBootstrap(group: eventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [service] channel in
                channel.eventLoop.makeCompletedFuture { try service.adopt(channel) }
            }
    }

    private func serve(_ channel: any Channel) async throws {
        let isKept = storage.withLock { storage in
            if !storage.isStopped { storage.channel = channel }
            return !storage.isStopped
        }
        guard isKept else {
            try await channel.close().get()
            throw Stopped()
        }
        logger.info(
            "serving metrics", metadata: ["address": "\(address)", "port": "\(channel.localAddress?.port ?? port)"])
    }

    private func failure(_ error: any Error) -> MetricsServerError {
        MetricsServerError(
            description: "cannot serve metrics on \(address) port \(port) (metrics.address, metrics.port): \(error)")
    }

    private struct NoDescriptor: Error, CustomStringConvertible {
        var description: String { "no descriptor is left for the socket" }
    }

    private struct Stopped: Error, CustomStringConvertible {
        var description: String { "the server has stopped" }
    }

    /// Whether it was stopped, after which it does not start again.
    package var isStopped: Bool { storage.withLock { $0.isStopped } }

    /// Where it listens, while it does.
    package var localPort: Int? { storage.withLock { $0.channel?.localAddress?.port } }

    /// Stops listening for good; answers that are being made are lost.
    package func stop() async {
        let channel = storage.withLock { storage in
            defer { (storage.channel, storage.isStopped) = (nil, true) }
            return storage.channel
        }
        try? await channel?.close().get()
        await service.stop()
    }
}

/// Why metrics cannot be served.
package struct MetricsServerError: Error, Sendable, CustomStringConvertible {
    package let description: String
}
