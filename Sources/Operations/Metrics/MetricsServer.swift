package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix

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
    private let channel = UntilStopped<any Channel>()

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
        try await serve { bootstrap in try await bootstrap.bind(host: address, port: port).get() }
    }

    /// Serves on a bound stream socket, which is the server's from here on, also when this throws. A negative `descriptor` is a
    /// copy that could not be made, for want of descriptors.
    package func start(adopting descriptor: CInt) async throws(MetricsServerError) {
        // NIO would end the process.
        guard descriptor >= 0 else { throw failure("no descriptor is left for the socket") }
        try await serve { bootstrap in try await bootstrap.withBoundSocket(descriptor).get() }
    }

    private func serve(
        _ bind: (ServerBootstrap) async throws -> any Channel
    ) async throws(MetricsServerError) {
        service.start()
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [service] channel in
                channel.eventLoop.makeCompletedFuture { try service.adopt(channel) }
            }
        let bound: any Channel
        do {
            bound = try await bind(bootstrap)
        } catch {
            throw failure("\(error)")
        }
        guard channel.keep(bound) else {
            try? await bound.close().get()
            throw failure("the server has stopped")
        }
        logger.info(
            "serving metrics", metadata: ["address": "\(address)", "port": "\(bound.localAddress?.port ?? port)"])
    }

    private func failure(_ reason: String) -> MetricsServerError {
        MetricsServerError(
            description: "cannot serve metrics on \(address) port \(port) (metrics.address, metrics.port): \(reason)")
    }

    /// Whether it was stopped, after which it does not start again.
    package var isStopped: Bool { channel.isStopped }

    /// The port on which the server listens, while it does.
    package var localPort: Int? { channel.value?.localAddress?.port }

    /// Stops listening for good; answers that are being made are lost.
    package func stop() async {
        try? await channel.stop()?.close().get()
        await service.stop()
    }
}

/// Why metrics cannot be served.
package struct MetricsServerError: Error, Sendable, CustomStringConvertible {
    package let description: String
}
