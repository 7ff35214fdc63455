package import Enforcement
package import Logging
package import Operations
package import Restart
import ServiceLifecycle
package import Settings
import UnixSignals

/// The agent: its parts, in the order in which they start and stop.
package struct Agent: Sendable {
    private let parts: Parts

    /// Attaches the hooks, then puts everything else together; or takes over from an agent that runs already.
    ///
    /// Throws errors that read as one sentence. Hooks that are attached by then stay, see ``KernelStart``; an agent that
    /// runs already goes on.
    package init(
        _ configuration: AgentConfiguration, logger: Logger, recentLog: RecentLog = RecentLog(),
        reload: ReloadSource? = nil, supervisor: SupervisorLink? = nil, opener: Opener
    ) async throws {
        parts = try Parts(
            configuration, logger: logger, recentLog: recentLog, reload: reload, supervisor: supervisor, opener: opener)
        do {
            try await parts.start()
        } catch {
            for stage in parts.stages.reversed() { await stage.abandon() }
            throw error
        }
    }

    /// Runs until it is told to stop (SIGTERM, SIGINT), or until a successor has taken over and this agent has answered
    /// what it had accepted. What is attached stays attached: see ``Datapath``.
    ///
    /// - Parameter isSupervised: Whether a replaced agent stays until it is told to stop, or until its successor ends,
    ///   because whatever started it would start it again.
    /// - Throws: What ended a service, unless a successor serves.
    package func run(isSupervised: Bool) async throws {
        let signals = await EndSignals()
        let endpoint = parts.operators.endpoint
        let succession = RunningService { [metricsServer = parts.operators.metricsServer] in
            await endpoint.waitUntilTaken()
            // The successor answers on the same socket.
            if endpoint.isTaken { await metricsServer.stop() } else { await endpoint.stop() }
        }
        var configuration = ServiceGroupConfiguration(
            services: parts.stages.map(\.configuration), gracefulShutdownSignals: [.sigterm, .sigint],
            logger: parts.logger)
        configuration.services.append(.init(service: succession, successTerminationBehavior: .gracefullyShutdownGroup))
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch {
            // To be started again for it would be to replace the successor.
            guard endpoint.isTaken else { throw error }
            parts.logger.warning("a part failed after the hand-over", metadata: ["reason": "\(error)"])
        }
        if endpoint.isTaken, isSupervised {
            // Every packet would pass the host guards of both agents for as long as this one waits.
            parts.operators.kernelSide.release()
            await Succession.standBy(parts.kernel.lock, at: endpoint.path, signals: signals, logger: parts.logger)
        }
    }
}
