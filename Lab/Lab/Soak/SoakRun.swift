import Foundation

/// A soak while it runs: goes through its windows, disturbs, and writes down. Used by one task.
final class SoakRun {
    /// How often the agent's process is looked at.
    private static let sampleInterval = Duration.milliseconds(500)

    let ledger = SoakLedger()
    private(set) var agent: AgentProcess
    private let world: LabWorld
    private let people: SoakWorld
    private let soak: Soak
    private let start = ContinuousClock.now
    private var seen = OutcomeCounts()
    private var livesSeen = 0
    private var mintsSeen: Int
    private var watchEnds = 0
    private var windows: [SoakReport.Window] = []
    /// The samples after the warm-up, by agent.
    private var steady: [Int: [ProcessSample]] = [:]

    init(world: LabWorld, people: SoakWorld, soak: Soak, agent: AgentProcess) {
        self.world = world
        self.people = people
        self.soak = soak
        self.agent = agent
        seen = people.tally
        mintsSeen = world.cluster.kubernetes.mints.total
    }

    /// Lets all windows pass.
    func windows(tell: (SoakReport.Window) -> Void) async throws {
        for number in 1...soak.windowCount {
            let isSecondHalf = number > soak.windowCount / 2
            if number == soak.windowCount / 2 + 1 { try await upgrade() }
            try await disturb(number)
            let end = start + soak.duration * number / soak.windowCount
            // Once at least: on a busy machine an upgrade may take as long as its window.
            repeat {
                if let sample = ProcessSample(of: agent.processIdentifier) { ledger.record(sample) }
                try await Task.sleep(until: min(end, .now + Self.sampleInterval), clock: .continuous)
            } while ContinuousClock.now < end
            let isWarmUp = number == 1 || number == soak.windowCount / 2 + 1
            let window = close(number, agent: isSecondHalf ? 2 : 1, isWarmUp: isWarmUp)
            windows.append(window)
            tell(window)
        }
    }

    /// Replaces the agent under the load. The old one must end by itself, and well.
    private func upgrade() async throws {
        let successor = try await world.startAgent(SoakWorld.configuration)
        let replaced = await agent.result()
        guard replaced.status == 0 else {
            throw LabError("the replaced agent ended with status \(replaced.status): \(replaced.errorOutput)")
        }
        agent = successor
    }

    /// Watches end at the start of every window; by turns cleanly, with what they would resume from gone, and with the
    /// API server's restart.
    private func disturb(_ number: Int) async throws {
        let kubernetes = world.cluster.kubernetes
        // One that has just ended is about to be opened again.
        try await kubernetes.watchesOpened.wait(within: .seconds(60)) { _ in kubernetes.openWatches > 0 }
        watchEnds += kubernetes.openWatches
        switch number % 3 {
        case 0: kubernetes.restart()
        case 1: kubernetes.endWatches()
        default:
            kubernetes.compact()
            kubernetes.endWatches()
        }
    }

    private func close(_ number: Int, agent: Int, isWarmUp: Bool) -> SoakReport.Window {
        let content = ledger.take()
        let tally = people.tally
        let lives = people.lives
        let mints = world.cluster.kubernetes.mints.total
        defer {
            seen = tally
            livesSeen = lives
            mintsSeen = mints
        }
        if !isWarmUp { steady[agent, default: []] += content.samples }
        return SoakReport.Window(
            number: number, agent: agent, isWarmUp: isWarmUp, requests: tally.total - seen.total,
            own: tally.own - seen.own,
            explained: tally.gone + tally.tooNew + tally.denied - seen.gone - seen.tooNew - seen.denied,
            wrong: tally.wrong.count - seen.wrong.count,
            unexplained: tally.unexplained.count - seen.unexplained.count,
            shortLivedPods: lives - livesSeen, mints: mints - mintsSeen,
            residentKibibytes: content.samples.map(\.residentKibibytes).median,
            anonymousKibibytes: content.samples.map(\.anonymousKibibytes).median,
            descriptors: content.samples.map(\.descriptors).median,
            threads: content.samples.map(\.threads).median,
            newConnections: SoakReport.Latency(content.newConnections),
            keptConnections: SoakReport.Latency(content.keptConnections))
    }

    /// The report when everything is over. What came after the last window counts to it.
    func report(before: AgentTables, after: AgentTables) -> SoakReport {
        let tally = people.tally
        windows[windows.count - 1].wrong += tally.wrong.count - seen.wrong.count
        windows[windows.count - 1].unexplained += tally.unexplained.count - seen.unexplained.count
        let memory = steady.sorted { $0.key < $1.key }.map { agent, samples in
            let own = windows.filter { $0.agent == agent && !$0.isWarmUp }
            let observed = samples.last.flatMap { last in samples.first.map { last.time - $0.time } } ?? .zero
            return SoakReport.Memory(
                agent: agent, riseKibibytes: (own.last?.anonymousKibibytes ?? 0) - (own.first?.anonymousKibibytes ?? 0),
                mebibytesPerHour: samples.mebibytesPerHour, observedSeconds: observed / .seconds(1))
        }
        return SoakReport(
            seconds: (ContinuousClock.now - start) / .seconds(1), windows: windows, memory: memory,
            tablesBefore: before, tablesAfter: after, trapConnections: world.cluster.trap?.connections ?? 0,
            watchEnds: watchEnds, wrong: Array(tally.wrong.prefix(20)),
            unexplained: Array(tally.unexplained.prefix(20)))
    }
}
