import Foundation

/// The agent as a process of its own in the node's network namespace: what a DaemonSet with hostNetwork runs.
package final class AgentProcess: Sendable {
    /// `PODIDENTD_LAB_PORT` is for agents of earlier versions, whose port could not be below 1024.
    package static let port = LabEnvironment.number("PODIDENTD_LAB_PORT", usual: 988)

    private let command: Command
    package let configurationPath: String
    package let adminSocket: String

    package var processIdentifier: Int32 { command.processIdentifier }
    package var isRunning: Bool { command.isRunning }
    /// The agent's log, line by line.
    package var log: EventLog<String> { command.errorLines }

    init(arguments: [String], node: LabNode, configurationPath: String, adminSocket: String) throws {
        self.configurationPath = configurationPath
        self.adminSocket = adminSocket
        command = try Command(node.agentCommand + arguments)
    }

    /// Waits until the agent says `words`, by default that everything is in place.
    package func waitUntilReady(
        within deadline: Duration = .seconds(60), saying words: String = " ready"
    ) async throws {
        do {
            try await log.first(within: deadline) { $0.contains(words) || $0.hasPrefix("Error:") }
        } catch is DeadlineExceeded {
            throw LabError("the agent was not ready within \(deadline); it said: \(log.events.joined(separator: "\n"))")
        }
        if let error = log.events.first(where: { $0.hasPrefix("Error:") }) {
            throw LabError("the agent ended: \(error)")
        }
    }

    package func signal(_ number: Int32) {
        command.signal(number)
    }

    /// Stops it as the kubelet does, and waits for its end.
    @discardableResult
    package func stop() async -> CommandResult { await command.end(by: SIGTERM) }

    /// `kill -9`.
    @discardableResult
    package func kill() async -> CommandResult { await command.end(by: SIGKILL) }

    /// Waits for an end that another process brings about.
    package func result() async -> CommandResult {
        await command.result()
    }
}
