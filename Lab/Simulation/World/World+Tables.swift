import Attribution
import KubernetesAPI
import Telemetry
import Tokens

/// The sizes of an agent's tables.
///
/// The tables that pods fill are looked at when they grow: a pod's tokens and waits at each call that is made for it, cgroups at each
/// that is made, pods at each event. All of them, and those that a sweep empties, are looked at once a minute.
extension World {
    /// The limits that agents have.
    static let limits = TokenServiceConfiguration()
    /// A sweep removes within so long what has ended, while the machine is awake.
    private static let sweepTime = limits.sweepInterval + .seconds(1)
    /// A pace is kept for fifteen minutes after a refusal, and as long as a refresh waits for it. No refresh waits beyond its token's end.
    private static let longestPace = Duration.seconds(3_600)

    /// Holds what an agent holds for a pod against the limits, when a call is made for it.
    func judgeHoldings(of entry: CallEntry, _ agent: SimulatedAgent) {
        guard let pod = entry.pod else { return }
        judge.check(.bounded)
        let holdings = agent.tokens.holdings(of: pod)
        judgeHoldings(holdings, of: pod, agent)
        // One for each UID that the pod's ServiceAccount had.
        guard holdings.federatedTokens > 1, let index = entry.podIndex else { return }
        let owner = cluster.pods[index]
        guard let account = cluster.account(owner.namespace, owner.account) else { return }
        let uids = cluster.accounts[account].uidCount
        judgeCount(holdings.federatedTokens, atMost: uids, "federated tokens of a pod", agent)
    }

    private func judgeHoldings(_ holdings: PodHoldings, of pod: PodUID?, _ agent: SimulatedAgent) {
        let limits = Self.limits
        let hasFewTokens =
            holdings.accessTokens <= limits.accessTokensPerPod
            && holdings.identityTokens <= limits.identityTokensPerPod
            && holdings.podTokens <= limits.podTokensPerPod
            && holdings.cloudCredentials <= limits.cloudCredentialsPerPod
        let hasFewWaits =
            holdings.waiting <= limits.waitersPerPod
            && holdings.fetches <= limits.fetchesPerPod + limits.queuedFetchesPerPod
        guard !hasFewTokens || !hasFewWaits else { return }
        let name = pod.map { "\($0)" } ?? "one pod"
        violated(.bounded, "agent \(agent.id) holds more of \(name) than it may: \(holdings)")
    }

    private func judgeCount(_ count: Int, atMost limit: Int, _ name: String, _ agent: SimulatedAgent) {
        guard count > limit else { return }
        violated(.bounded, "agent \(agent.id) holds \(count) \(name), of \(limit) that there can be")
    }

    /// Holds the cgroups that an agent knows against those that there are.
    func judgeCgroups(of agent: SimulatedAgent) {
        guard !agent.node.losesCgroupEvents else { return }
        judgeCount(agent.index.count, atMost: agent.node.cgroupCount, "cgroups", agent)
    }

    /// Holds the pods that an agent knows against those that lists and events have shown it, less those whose end they have shown.
    func judgePods(of agent: SimulatedAgent) {
        judge.check(.bounded)
        judgeCount(agent.directory.count, atMost: agent.memory.known.count, "pods", agent)
    }

    /// Holds every table of a node's agent against its bound.
    func judgeTables(of node: SimulatedNode) {
        guard let agent = node.agent else { return }
        judge.check(.bounded)
        let census = agent.tokens.census()
        judgeHoldings(census.most, of: nil, agent)
        judgeCgroups(of: agent)
        // Only of pods that are known.
        judgeCount(agent.callers.count, atMost: agent.directory.count, "callers", agent)
        judgeCount(agent.directory.departedCount, atMost: PodDirectory.departedLimit, "pods that went", agent)
        judgeCount(agent.rememberedEvents, atMost: PodEventRecorder.rememberedLimit, "Events", agent)
        judgeCount(agent.audit.countedDenials, atMost: AuditLog.countedDenialsLimit, "kinds of denials", agent)
        // A sweep's timer stands still while the machine sleeps.
        if node.sleepEnd.map({ $0 < now - Self.sweepTime }) ?? true { judgeSwept(census, agent) }
        let pods = cluster.listed[node.number]?.count ?? 0
        note("tables agent \(agent.id) entries \(census.tokens) cgroups \(agent.index.count) pods \(pods)")
    }

    /// Holds the tables that a sweep empties against what happened within the time for which it is remembered.
    private func judgeSwept(_ census: TokenCensus, _ agent: SimulatedAgent) {
        let (memory, swept) = (agent.memory, now - Self.sweepTime)
        let readSince = swept - Self.limits.serviceAccounts.lastResortAge
        let accounts = memory.accountReads.values.count { $0 >= readSince }
        judgeCount(census.serviceAccounts, atMost: accounts, "ServiceAccounts", agent)
        let refusedSince = swept - Self.longestPace
        let quotas = memory.refusals.values.count { $0 >= refusedSince }
        judgeCount(census.paces, atMost: quotas, "paces", agent)
        memory.departures.removeAll { $0 < swept - Self.limits.waitLimit }
        judgeCount(census.departedPods, atMost: memory.departures.count, "departed pods", agent)
    }
}
