import Attribution
import Tokens
import VirtualTime

/// The agents of thousands of nodes before one STS: each node's real `TokenService`, under a virtual clock.
///
/// The thread that lets time pass is the only one that uses a fleet's members.
package final class Fleet: @unchecked Sendable {
    private struct Pod {
        var record: PodRecord
        var node: Int
        /// The end of the token that its client holds.
        var tokenEnd: ContinuousClock.Instant?
        /// Whether it has asked at all.
        var isUp = false
        var refusals = 0
        /// Grows when the pod starts again: what was planned before is void.
        var generation = 0
    }

    private let options: FleetOptions
    private let timeline = Timeline()
    private let upstreams: FleetUpstreams
    private let random: FleetRandom
    private var agents: [TokenService] = []
    private var tasks: [Task<Void, Never>] = []
    private var pods: [Pod] = []
    private var report: FleetReport

    package init(_ options: FleetOptions) {
        self.options = options
        let random = FleetRandom(options.seed)
        self.random = random
        upstreams = FleetUpstreams(timeline, options) { random.unit() }
        report = FleetReport(options)
        for node in 0..<options.nodes {
            startAgent(on: node)
            for number in 0..<options.podsPerNode { addPod(node, number) }
        }
    }

    /// Runs the scenario to its end.
    package func run() -> FleetReport {
        let scenario = options.scenario
        let spread = scenario == .coldStart ? Duration.seconds(600) : FleetScenario.warmUp
        for index in pods.indices { start(index, within: spread) }
        plan(scenario)
        let minutes = Int(scenario.length / .seconds(60))
        for minute in 1...minutes {
            for part in 1...6 {
                timeline.advance(by: .seconds(10))
                judgeRecovery(at: .seconds(60 * (minute - 1) + 10 * part), of: scenario)
            }
            look(minute: minute, of: scenario)
        }
        for task in tasks { task.cancel() }
        timeline.advance(by: .seconds(1))
        return report
    }

    // MARK: The scenario

    /// The time that the quota takes for one pod.
    private var perPod: Duration { .seconds(60) / options.exchangesPerMinute }

    private func plan(_ scenario: FleetScenario) {
        let upstreams = upstreams
        switch scenario {
        case .coldStart:
            report.withoutAtEnd = pods.count
            report.leastRecovery = perPod * pods.count
        case .rollout:
            // The agents lose every token, and none knows which its pods' clients still hold.
            report.leastRecovery = perPod * pods.count
            for node in agents.indices {
                timeline.after(scenario.beginning + .seconds(600 * random.unit())) { [self] in startAgent(on: node) }
            }
        case .outage:
            timeline.after(scenario.beginning) { upstreams.isSTSDown = true }
            timeline.after(scenario.end) { upstreams.isSTSDown = false }
        case .zoneReturns:
            report.withoutAtEnd = (options.nodes / 3) * options.podsPerNode
            timeline.after(scenario.beginning) { [self] in
                for node in 0..<(options.nodes / 3) { startAgent(on: node) }
                for index in 0..<report.withoutAtEnd { start(index, within: .seconds(180)) }
            }
        case .tenthOfQuota:
            let quota = options.exchangesPerMinute
            timeline.after(scenario.beginning) { upstreams.setExchangesPerMinute(quota / 10) }
            timeline.after(scenario.end) { upstreams.setExchangesPerMinute(quota) }
        }
    }

    private func look(minute: Int, of scenario: FleetScenario) {
        let counts = upstreams.counts
        upstreams.counts = CallCounts()
        let without = podsWithout
        report.minutes.append(
            FleetReport.Minute(
                exchanges: counts.exchanges, refusedExchanges: counts.refusedExchanges,
                tokenRequests: counts.tokenRequests, refusedTokenRequests: counts.refusedTokenRequests,
                reads: counts.reads, impersonations: counts.impersonations, without: without))
        guard .seconds(60 * minute) == scenario.end else { return }
        if report.withoutAtEnd == 0 { report.withoutAtEnd = without }
        if report.leastRecovery == .zero { report.leastRecovery = leastRecovery() }
    }

    /// The pods that want a token and have none.
    private var podsWithout: Int {
        let now = timeline.now
        return pods.count { $0.isUp && $0.tokenEnd.map { $0 <= now } ?? true }
    }

    private func judgeRecovery(at time: Duration, of scenario: FleetScenario) {
        guard time > scenario.end else { return }
        if podsWithout * 1_000 >= pods.count || !pods.allSatisfy(\.isUp) {
            report.recovery = nil
        } else if report.recovery == nil {
            report.recovery = time - scenario.end
        }
    }

    /// The time that the quota alone dictates: the shortest after which as many exchanges fit into it as pods are without a token
    /// or lose theirs meanwhile.
    private func leastRecovery() -> Duration {
        let now = timeline.now
        let left = pods.compactMap(\.tokenEnd).filter { $0 > now }.sorted()
        var count = report.withoutAtEnd
        for end in left where end <= now + perPod * count { count += 1 }
        return perPod * count
    }

    // MARK: Agents

    private func startAgent(on node: Int) {
        var configuration = TokenServiceConfiguration()
        configuration.pacing = options.pacing
        // The sweeps of thousands of agents would be millions. They forget what has ended, here later than on a node.
        configuration.sweepInterval = .seconds(120)
        // A node reads a ServiceAccount within 2 s of its use. These reads take from no quota, and would be most of the run.
        configuration.serviceAccounts.refreshAge = .seconds(600)
        configuration.serviceAccounts.awaitAge = .seconds(660)
        let random = random
        let agent = TokenService(
            configuration: configuration, issuer: upstreams, accounts: upstreams, exchanger: upstreams,
            clock: FleetClock(timeline: timeline),
            jitter: { random.unit() })
        let task = timeline.task { await agent.run() }
        if node < agents.count {
            tasks[node].cancel()
            (agents[node], tasks[node]) = (agent, task)
        } else {
            agents.append(agent)
            tasks.append(task)
        }
    }

    // MARK: Pods

    private func addPod(_ node: Int, _ number: Int) {
        let index = node * options.podsPerNode + number
        let digits = String(index, radix: 16)
        let text = "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.utf8.count) + digits
        guard let uid = PodUID(text) else { preconditionFailure("\(text) is no UID") }
        // A node's pods are of different ServiceAccounts, as far as there are enough.
        let account = "account-\((node * 7 + number * 20) % options.accounts)"
        pods.append(
            Pod(
                record: PodRecord(uid: uid, namespace: "fleet", name: "pod-\(index)", serviceAccountName: account),
                node: node))
    }

    /// The pod starts, without a token, and asks for the first time within `spread`.
    private func start(_ index: Int, within spread: Duration) {
        pods[index].generation += 1
        pods[index].tokenEnd = nil
        pods[index].isUp = false
        pods[index].refusals = 0
        plan(index, after: spread * random.unit())
    }

    private func plan(_ index: Int, after delay: Duration) {
        let generation = pods[index].generation
        timeline.after(delay) { [self] in
            guard pods[index].generation == generation else { return }
            pods[index].isUp = true
            ask(index)
        }
    }

    /// Asks as the metadata server does: for the ServiceAccount, then for a token, each from the cache if it can be.
    private func ask(_ index: Int) {
        let (agent, pod, generation) = (agents[pods[index].node], pods[index].record, pods[index].generation)
        if let account = agent.cachedServiceAccount(of: pod) { return askToken(index, agent, account) }
        agent.requestServiceAccount(of: pod) { [self] result in
            guard pods[index].generation == generation else { return }
            switch result {
            case .success(let account): askToken(index, agent, account)
            case .failure: refused(index)
            }
        }
    }

    private func askToken(_ index: Int, _ agent: TokenService, _ account: ServiceAccountRecord) {
        let (pod, generation) = (pods[index].record, pods[index].generation)
        if let token = agent.cachedAccessToken(for: pod, account: account, scopes: .default) {
            return served(index, token)
        }
        agent.requestAccessToken(for: pod, account: account, scopes: .default) { [self] result in
            guard pods[index].generation == generation else { return }
            switch result {
            case .success(let token): served(index, token)
            case .failure: refused(index)
            }
        }
    }

    private func served(_ index: Int, _ token: ServedToken) {
        pods[index].tokenEnd = timeline.now + .seconds(token.expiresIn)
        pods[index].refusals = 0
        // The pod asks now and then, and before its token ends.
        let last = max(Duration.seconds(token.expiresIn) - .seconds(60), .seconds(5))
        plan(index, after: min(options.pause * (0.5 + random.unit()), last))
    }

    private func refused(_ index: Int) {
        pods[index].refusals += 1
        let pause = min(.seconds(1 << min(pods[index].refusals - 1, 10)), options.longestRetry)
        plan(index, after: pause * (0.5 + 0.5 * random.unit()))
    }
}

/// Random numbers that a seed decides: SplitMix64.
final class FleetRandom: @unchecked Sendable {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    /// A number in `0..<1`.
    func unit() -> Double {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return Double((word ^ (word >> 31)) >> 11) / 9_007_199_254_740_992
    }
}
