import ArgumentParser
import Lab

struct MillionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "million",
        abstract: "A million connections from pods that come and go: whose identity each got. Needs root.",
        discussion: """
            110 pods at a time, each in a network namespace of its own, each with two containers, some with a process of \
            another pod in their namespace. Ends with status 1 unless every connection got its own pod's UID, no frame of \
            one passed a device, and no namespace is left.
            """
    )

    @Option(help: "Connections in all.")
    var connections = 1_000_000

    @Option(help: "Pods that live at the same time.")
    var pods = 110

    @Option(help: "Connections that a pod makes in its life.")
    var perLife = 1000

    @Flag(help: "Calls of the SPIFFE endpoint instead: X.509-SVIDs, JWT-SVIDs and bundles in turns.")
    var spiffe = false

    func validate() throws {
        guard (1...500).contains(pods) else { throw ValidationError("--pods is from 1 to 500") }
        guard connections > 0 else { throw ValidationError("--connections is at least 1") }
        guard perLife >= 8 else { throw ValidationError("--per-life is at least 8") }
    }

    func run() async throws {
        let (lines, isGood) = try await LabWorld.with(keys: try LabCluster.Keys()) { world in
            if spiffe { try await callSpiffe(in: world) } else { try await connect(in: world) }
        }
        for line in lines { print(line) }
        if !isGood { throw ExitCode.failure }
    }

    private func connect(in world: LabWorld) async throws -> (lines: [String], isGood: Bool) {
        var trial = MillionTrial()
        (trial.slots, trial.connections, trial.perLife) = (pods, connections, perLife)
        let result = try await trial.run(in: world) { print($0.line) }
        return ([result.line, result.rest], result.isGood)
    }

    private func callSpiffe(in world: LabWorld) async throws -> (lines: [String], isGood: Bool) {
        var trial = SpiffeMillionTrial()
        (trial.slots, trial.calls, trial.perLife) = (pods, connections, perLife)
        let result = try await trial.run(in: world) { print($0.line) }
        return ([result.line], result.isGood)
    }
}
