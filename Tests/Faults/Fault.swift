import AgentTesting
import Lab

/// A fault of the agent's surroundings, and what has to come of it.
struct Fault: Sendable {
    /// How the agent is to be started for it.
    struct Launch: Sendable {
        var changes: [String: String?] = [:]
        /// A command that runs the agent.
        var prefix: [String] = []
        var cleanUp: @Sendable () async -> Void = {}
    }

    var name: String
    /// The values that differ from run to run.
    var detail: String?
    var configure: @Sendable (inout LabCluster.Configuration) -> Void = { _ in }
    var launch: @Sendable (LabWorld) async throws -> Launch = { _ in Launch() }
    /// Brings the fault about, ends it, expects what must be, and says what was seen.
    var run: @Sendable (FaultStage) async throws -> FaultRow

    /// Runs the fault in a world of its own, and returns its line of the table.
    func row() async throws -> String {
        var row: FaultRow?
        try await withWorld(configure: configure) { world in
            let launch = try await self.launch(world)
            do {
                let stage = try await FaultStage(name, world, launch)
                row = try await run(stage)
                try await stage.expectNoHarm()
            } catch {
                await world.stopAgents()
                await launch.cleanUp()
                throw error
            }
            await world.stopAgents()
            await launch.cleanUp()
        }
        guard let row else { return "" }
        try FaultDocument.expect(row, of: name)
        return row.text(name: detail.map { "\(name), \($0)" } ?? name)
    }
}
