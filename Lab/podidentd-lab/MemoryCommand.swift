import ArgumentParser
import Lab

struct MemoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memory",
        abstract: "What the agent needs when every pod takes all that the limits allow. Needs root.",
        discussion: """
            The agent runs in a memory cgroup. Each line is an agent of its own with pods that all press in one way. \
            Exit status 1: the kernel killed an agent, or a pod that does nothing else was not served.
            """
    )

    @Option(help: "Pods that press, from 1 to 500.")
    var pods = 110

    @Option(help: "Connections that each of them tries to hold.")
    var connections = 64

    @Option(help: "The memory limit, in MiB.")
    var limit = 192

    @Option(help: "For how long, each.")
    var seconds = 4

    func validate() throws {
        guard (1...500).contains(pods) else { throw ValidationError("--pods is from 1 to 500") }
    }

    func run() async throws {
        var trial = MemoryTrial()
        (trial.pods, trial.connections, trial.limit, trial.seconds) = (pods, connections, limit << 20, seconds)
        print(MemoryTrial.Row.header)
        let rows = try await trial.run(keys: try LabCluster.Keys()) { print($0.line) }
        if rows.contains(where: { $0.isKilled || $0.served < $0.asked }) { throw ExitCode.failure }
    }
}
