import Foundation

/// Mixed load with churn for a while: pods that stay and ask for everything, on new and on kept connections; pods that
/// come and go under names and addresses that are used again; clients that are refused and one that is slow; tokens
/// that soon end; watches that end and caches that are compacted; and, in the middle, an upgrade of the agent.
package struct Soak: Sendable {
    package var duration: Duration
    /// An even number: the agent is replaced between the two halves.
    package var windowCount: Int
    package var residentCount = 12
    package var slotCount = 4
    /// How long who asks rests between two requests: a soak is about time, not about load.
    private static let pause = Duration.milliseconds(20)
    private static let podPause = Duration.milliseconds(150)

    /// Six windows at least, none longer than two minutes.
    package init(duration: Duration) {
        self.duration = duration
        windowCount = max(6, Int(duration / .seconds(240)) * 2)
    }

    /// Runs in a fresh world, and tells each window when it is over.
    package func run(in world: LabWorld, tell: (SoakReport.Window) -> Void) async throws -> SoakReport {
        let first = try await world.startAgent(SoakWorld.configuration)
        let people = try await SoakWorld(in: world, residents: residentCount, slots: slotCount)
        for resident in people.residents { try await resident.askAll(pause: .zero) }
        try await people.slow.ask()
        let before = try await AgentTables.read(from: first)
        let run = SoakRun(world: world, people: people, soak: self, agent: first)
        let ledger = run.ledger
        let end = ContinuousClock.now + duration
        try await withThrowingTaskGroup(of: Void.self) { group in
            for resident in people.residents {
                group.addTask {
                    while ContinuousClock.now < end {
                        try await resident.askAll(pause: Self.pause, ledger: ledger)
                    }
                }
            }
            for slot in people.slots {
                group.addTask {
                    var life = 0
                    while ContinuousClock.now < end {
                        try await slot.live(life)
                        life += 1
                        try await Task.sleep(for: Self.podPause)
                    }
                }
            }
            group.addTask {
                while ContinuousClock.now < end {
                    let visit = ClientRequest(path: MetadataPath.token, manner: .slow)
                    let outcome = try await people.slow.visitor.measure(visit)
                    people.slow.tally.judge(outcome.result, of: people.slow.pod.uid, as: .cutOff)
                }
            }
            try await run.windows(tell: tell)
            try await group.waitForAll()
        }
        // The slots' last pods, and those that had not asked the second agent yet.
        for resident in people.residents { try await resident.askAll(pause: .zero) }
        try await people.slow.ask()
        // Their connections end with them.
        await people.stop()
        let after = try await AgentTables.settled(run.agent, to: before)
        let report = run.report(before: before, after: after)
        await run.agent.stop()
        return report
    }
}
