import ArgumentParser
import Diagnostics
import Operations
import Settings

struct LiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live",
        abstract: "Says whether an agent answers on this node: for startup and liveness probes.",
        discussion: """
            Asks over the Unix socket, and needs no port: an agent whose metrics.port is held by another process goes on \
            serving pods.

            Exit status: 0 an agent answers; 1 none does, with the reason in one line.
            """
    )

    @OptionGroup var agent: AgentOptions

    func run() async throws {
        do {
            let location = try agent.location()
            let objection = await Liveness.objection(socket: location.socket, pinDirectory: location.pinDirectory)
            guard let objection else { return print("live") }
            print("not live: \(objection)")
        } catch let error as ConfigurationError {
            print("not live: \(error)")
        }
        throw ExitCode.failure
    }
}
