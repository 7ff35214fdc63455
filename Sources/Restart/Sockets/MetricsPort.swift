import EventLoops
import Glibc
package import Logging
import NIOCore
package import Operations
package import Settings
import Synchronization
package import Telemetry
import Tokens

/// The listening socket of `metrics.port`: an earlier agent's, or a new one. While the port cannot be bound, the agent
/// serves pods without metrics and tries again.
package final class MetricsPort: Sendable {
    /// The pauses between attempts to bind a port that another process holds.
    static let backoff = Backoff(shortest: .milliseconds(250), longest: .seconds(30))

    private let configuration: AgentConfiguration
    private let server: MetricsServer
    private let incidents: CounterTable<Incident>
    private let logger: Logger
    /// The socket that is handed over; the server has a copy.
    private let socket = Mutex<CInt?>(nil)

    package init(
        _ configuration: AgentConfiguration, server: MetricsServer, incidents: CounterTable<Incident>, logger: Logger
    ) {
        self.configuration = configuration
        self.server = server
        self.incidents = incidents
        self.logger = logger
    }

    deinit {
        if let socket = socket.withLock({ $0 }) { close(socket) }
    }

    /// The listening socket, while there is one. It stays this object's.
    package var descriptor: CInt? { socket.withLock { $0 } }

    /// Serves metrics, unless the port cannot be bound now.
    ///
    /// - Returns: Whether there is nothing left to try.
    @discardableResult
    package func start(_ offered: OfferedSockets) async -> Bool {
        guard configuration.metricsPort != 0, descriptor == nil else { return true }
        do {
            let bound = try adoptOrOpen(offered)
            do {
                try ListeningSocket.listen(bound, configuration.metricsAddress, configuration.metricsPort)
                try await server.start(adopting: fcntl(bound, F_DUPFD_CLOEXEC, 0))
            } catch {
                close(bound)
                throw error
            }
            socket.withLock { $0 = bound }
            return true
        } catch {
            guard !server.isStopped else { return true }
            incidents.increment(.metricsPortFailed)
            logger.error("no metrics until their port can be bound", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// Tries again until metrics are served or the task is cancelled.
    package func run(_ started: @Sendable () async -> Void) async {
        var attempts = 0
        while true {
            attempts += 1
            guard (try? await Task.sleep(for: Self.backoff.pause(after: attempts))) != nil else { return }
            if descriptor != nil { return await untilCancelled() }
            if await start(OfferedSockets()) {
                await started()
                return await untilCancelled()
            }
        }
    }

    private func adoptOrOpen(_ offered: OfferedSockets) throws -> CInt {
        let (address, port) = (configuration.metricsAddress, configuration.metricsPort)
        return try offered.take(address, port: port)
            ?? ListeningSocket.open(
                address, port: port, key: "metrics.address", portKey: "metrics.port", isDualStack: true)
    }
}
