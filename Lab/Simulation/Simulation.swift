import Attribution
import Tokens
import VirtualTime

/// One run of the simulated world, from a seed.
package struct Simulation {
    /// The outcome of a run.
    package struct Report: Sendable {
        package var seed: UInt64
        package var hours: Double
        package var checksum: String
        package var events: Int
        package var requests: Int
        package var resets: Int
        package var pods: Int
        package var agents: Int
        package var upstreamCalls: Int
        package var statuses: [Int: Int]
        package var faults: [Fault: Int]
        package var checks: [Invariant: Int]
        package var violations: [Violation]
        package var slowest: Duration
        /// The last lines of the trace.
        package var tail: [String]
    }

    /// How long the world is at rest before its pods must have their identities: the fault table says 4 s after the fault's
    /// end and the end of its `Retry-After`, which is 20 s at most in this world.
    private static let rest = Duration.seconds(24)
    /// The end of a run, in which no fault is injected.
    private static let quiet = Duration.seconds(180)

    private let world: World

    package init(_ options: SimulationOptions) {
        world = World(options)
    }

    /// Runs to the end of its hours.
    package func run() -> Report {
        let options = world.options
        world.populate()
        for node in world.nodes { world.startAgent(on: node) }
        let length = Duration.seconds(options.hours * 3_600)
        let disturbed = max(length - Self.quiet, .seconds(1))
        world.planFaults(until: disturbed)
        planLooks(until: length)
        world.timeline.advance(by: disturbed)
        comeToRest()
        awaitRecovery()
        askEverybody()
        askUnannounced()
        world.timeline.advance(by: max(world.timeline.start + length - world.now, .seconds(10)))
        // Pods of which an agent spaces the calls are asked for again.
        while world.now <= world.lastDemand + .seconds(5) { world.timeline.advance(by: .seconds(5)) }
        for node in world.nodes {
            if let agent = node.agent { world.end(agent, on: node, crashing: false) }
        }
        world.timeline.advance(by: .seconds(20))
        judgeLedgers()
        return report()
    }

    /// Lets the time pass in which agents recover from the last fault. Its end is that of the last call that it may have touched: a
    /// list that was slow goes on for up to 10 s.
    private func awaitRecovery() {
        let end = world.now
        world.timeline.advance(by: Self.rest)
        world.timeline.advance(by: max(world.lastTouched - end, .zero))
    }

    private func comeToRest() {
        world.note("the world comes to rest")
        world.quietSince = world.now
        world.weather.clear()
        for node in world.nodes {
            node.kubelet.expire(false)
            node.reportLoss()
            if node.agent == nil { world.startAgent(on: node) }
        }
        for index in world.cluster.accounts.indices where world.cluster.accounts[index].state == nil {
            world.cluster.accounts[index].become(.init(uid: world.makeUID(), email: nil), at: world.now)
        }
    }

    /// Every pod that can have its identity must get it now, those that ask for little beside those that are greedy.
    private func askEverybody() {
        let running = world.cluster.pods.filter { $0.isRunning && !$0.isTerminating }
        for pod in running where pod.isGreedy {
            ask(pod.index)
            world.askGreedily(pod.index)
        }
        for pod in running where !pod.isGreedy { ask(pod.index) }
    }

    /// A pod that no watch shows is found by its first request: a miss has the pods listed.
    private func askUnannounced() {
        for node in world.nodes {
            let index = world.createPod(on: node.number, for: .seconds(3_600), isUnannounced: true)
            world.timeline.after(.seconds(1)) { [self] in ask(index) }
        }
    }

    private func ask(_ index: Int) {
        let pod = world.cluster.pods[index]
        guard pod.isRunning, !pod.isDenied, !pod.isReused, pod.claimed == nil,
            let account = world.cluster.account(pod.namespace, pod.account),
            let state = world.cluster.accounts[account].state, state.email?.hasPrefix("unbound") != true
        else { return }
        world.demandIdentity(of: index)
    }

    // MARK: Looks

    /// Looks at every table once a minute.
    private func planLooks(until end: Duration) {
        let world = world
        @Sendable func look() {
            for node in world.nodes { world.judgeTables(of: node) }
            world.timeline.after(.seconds(60), look)
        }
        @Sendable func tidy() {
            world.dropOldGrants()
            world.timeline.after(.seconds(3_600), tidy)
        }
        look()
        tidy()
    }

    private func judgeLedgers() {
        for node in world.nodes {
            world.judge.check(.audit)
            let ledger = node.ledger
            if ledger.mints != ledger.auditedMints {
                world.violated(
                    .audit, "node-\(node.number): \(ledger.mints) mints and \(ledger.auditedMints) audit lines of mints"
                )
            }
            for (purpose, tokens) in ledger.served.sorted(by: { $0.key < $1.key })
            where ledger.audited[purpose, default: 0] < tokens.count {
                world.violated(
                    .audit,
                    "\(tokens.count) tokens were served for \(purpose), "
                        + "\(ledger.audited[purpose, default: 0]) are audited")
            }
        }
    }

    private func report() -> Report {
        let judge = world.judge
        return Report(
            seed: world.options.seed, hours: world.options.hours, checksum: world.trace.digest,
            events: world.trace.count, requests: judge.requests, resets: judge.resets, pods: world.cluster.pods.count,
            agents: world.memories.count, upstreamCalls: judge.upstreamCalls, statuses: judge.statuses,
            faults: world.injected, checks: judge.checks, violations: judge.violations, slowest: judge.slowest,
            tail: world.trace.tail)
    }
}
