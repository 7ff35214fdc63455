package import KubernetesAPI
package import Logging
import NIOPosix
package import Operations
import Synchronization

/// The source from which a running agent reads its configuration again, and what of it lies outside the agent.
package struct ReloadSource: Sendable {
    /// Reads everything again, as at the start: file, environment, command line.
    package var load: @Sendable () throws -> AgentConfiguration
    package var threshold: LogThreshold
    /// Every key that there is.
    let keys: [ConfigurationKey]

    package init(
        keys: [ConfigurationKey], threshold: LogThreshold, load: @escaping @Sendable () throws -> AgentConfiguration
    ) {
        self.keys = keys
        self.threshold = threshold
        self.load = load
    }
}

/// Takes over a changed configuration, as far as that works without a restart.
///
/// All or nothing: a configuration with an error in it changes nothing.
package final class ConfigurationReloader: Sendable {
    private let storage: Mutex<AgentConfiguration>
    private let source: ReloadSource?
    private let watcher: PodWatcher
    private let logger: Logger

    package init(
        _ configuration: AgentConfiguration, source: ReloadSource?, watcher: PodWatcher, logger: Logger
    ) {
        storage = Mutex(configuration)
        self.source = source
        self.watcher = watcher
        self.logger = logger
    }

    /// The configuration in force.
    package var current: AgentConfiguration { storage.withLock { $0 } }

    package var writesEvents: Bool { storage.withLock { $0.writesEvents } }

    package func reload() async {
        guard let source else { return }
        let new: AgentConfiguration
        do {
            // File access blocks: not on the threads that run everybody's tasks.
            new = try await NIOThreadPool.singleton.runIfActive { try source.load() }
        } catch {
            logger.error(
                "the configuration was not reloaded, and stays as it was",
                metadata: ["error": "\(error)", "remedy": "correct it and send SIGHUP again"])
            return
        }
        let change = ConfigurationChange(from: current, to: new, keys: source.keys)
        storage.withLock { $0 = change.result }
        source.threshold.level = change.result.logLevel
        if change.applied.contains("policies") {
            watcher.replacePolicies(change.result.policies)
        }
        if !change.needingRestart.isEmpty {
            logger.warning(
                "restart the agent to apply: \(change.needingRestart.joined(separator: ", "))",
                metadata: ["applied": "\(Self.text(change.applied))"])
        }
        logger.notice("configuration reloaded", metadata: ["applied": "\(Self.text(change.applied))"])
    }

    private static func text(_ keys: [String]) -> String { keys.isEmpty ? "nothing" : keys.joined(separator: ", ") }
}
