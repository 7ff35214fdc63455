import Attribution
import GoogleMetadata
import MetadataProtocol
import MetadataServer
import Tokens
import VirtualTime

/// Requests of pods, and the check of each answer.
extension World {
    /// The longest that a request may take.
    static let waitBudget = SimulatedNode.limits.waitBudget
    /// The age up to which a ServiceAccount's record may be served while the API server answers, and while it does not.
    static let oldestPresentAccount = TokenServiceConfiguration().serviceAccounts.awaitAge + waitBudget
    static let oldestAccount = TokenServiceConfiguration().serviceAccounts.lastResortAge + waitBudget

    /// Sends one request, if an agent runs. `tag` may be older than the pod's end.
    func send(_ request: ClientRequest, from index: Int) {
        let pod = cluster.pods[index]
        let node = nodes[pod.node]
        // The pod's client sleeps with the machine.
        if let left = node.sleepLeft(at: now) { return timeline.after(left) { self.send(request, from: index) } }
        let number = serial()
        judge.requests += 1
        guard let agent = node.agent else {
            judge.resets += 1
            if request.mustSucceed { violated(.liveness, "no agent runs on node-\(pod.node)") }
            return note("request \(number) pod \(index): no agent")
        }
        let (began, slept) = (now, node.slept)
        agent.answer(number, request, node.tag(of: pod)) { [self] response in
            let took = max(now - began - (node.slept - slept), .zero)
            judge.check(.answered)
            judge.slowest = max(judge.slowest, took)
            judge.statuses[response.status.rawValue, default: 0] += 1
            let cause = response.cause.map { " \($0.rawValue)" } ?? ""
            note("request \(number) pod \(index) \(request.kind): \(status(response))\(cause) after \(took)")
            if took > Self.waitBudget {
                violated(.answered, "request \(number) took \(took), more than \(Self.waitBudget)")
            }
            if !Self.documented.contains(response.status) {
                violated(.answered, "request \(number) got \(response.status), which no document names")
            }
            judgeRefusal(response, to: number)
            judgeLimits(response, to: number, of: pod)
            if request.mustSucceed { expectSuccess(response, of: request, number, pod) }
            guard response.status == .ok else { return }
            if request.isCredential {
                judgeCredential(response, request, number, pod, agent, node)
            } else if knows(pod, agent) {
                judgeEmail(response, number, pod)
            }
        }
    }

    /// Whether the agent could know which pod asks. Until the watch shows the second pod of a UID, the agent takes it for the first.
    /// A decision at that very moment counts as made before it.
    private func knows(_ pod: SimulatedPod, _ agent: SimulatedAgent) -> Bool {
        guard pod.isReused else { return true }
        guard agent.directory.record(for: pod.uid)?.name == pod.name else { return false }
        return agent.memory.heard[pod.name].map { $0 < now } ?? true
    }

    private static let documented: Set<Response.Status> = [
        .ok, .badRequest, .forbidden, .notFound, .tooManyRequests, .serviceUnavailable,
    ]

    private func status(_ response: Response) -> Int { response.status.rawValue }

    func reset(_ request: Int, by agent: SimulatedAgent.ID) {
        judge.resets += 1
        note("request \(request): reset, agent \(agent) ended")
    }

    private func expectSuccess(_ response: Response, of request: ClientRequest, _ number: Int, _ pod: SimulatedPod) {
        // The pod may have gone, or its account may have changed, while it waited.
        guard cluster.pods[pod.index].isRunning else { return }
        if pod.isGreedy, response.cause == .limited { return }
        judge.check(.liveness)
        let isOK = response.status == .ok
        guard !isOK else { return }
        if demandsAgain(request, of: pod) { return }
        let text = if case .text(let text) = response.body { text } else { "" }
        violated(
            .liveness,
            "request \(number) of pod \(pod.index) got \(response.status.rawValue) after the last fault: \(text)")
    }

    private func judgeCredential(
        _ response: Response, _ request: ClientRequest, _ number: Int, _ pod: SimulatedPod, _ agent: SimulatedAgent,
        _ node: SimulatedNode
    ) {
        let bytes = response.body.bytes
        var (token, life) = (String(decoding: bytes, as: UTF8.self), nil as Int?)
        if case .access = request.kind {
            let body = WireJSON(bytes)
            guard let text = body?["access_token"]?.text, let seconds = body?["expires_in"]?.number else {
                return violated(.answered, "request \(number): the body is no token")
            }
            (token, life) = (text, seconds)
        }
        guard let grant = grants[token] else {
            return violated(.ownToken, "request \(number) got a token that nobody gave out")
        }
        judge.check(.ownToken)
        let owner = knows(pod, agent) ? pod : cluster.pods[grant.index]
        if grant.pod != pod.uid || grant.index != owner.index || grant.account != owner.account
            || grant.namespace != owner.namespace
        {
            violated(.ownToken, "request \(number) of pod \(pod.uid) got the token of pod \(grant.index), \(grant.pod)")
        }
        judge.check(.lifetime)
        let left = grant.end - now
        // A life is counted from before the call that brought it, and every date has whole seconds.
        if left <= .zero || life.map({ Duration.seconds($0) > left + .seconds(1) }) == true {
            violated(.lifetime, "request \(number): \(left) are left of a token that is said to live \(life ?? 0) s")
        }
        judge.check(.ended)
        if let end = agent.memory.ended[pod.uid], end < now {
            violated(.ended, "request \(number): pod \(pod.uid) was served, its end is known since \(now - end)")
        }
        judgeAccount(grant, request, number, owner)
        if request.kind != .podToken { node.ledger.served[request.purpose(pod.uid, grant), default: []].insert(token) }
    }

    private func judgeAccount(_ grant: Grant, _ request: ClientRequest, _ number: Int, _ pod: SimulatedPod) {
        guard let account = cluster.account(pod.namespace, pod.account) else { return }
        judge.check(.presentAccount)
        let was = cluster.accounts[account].was(since: now - oldestServed) { state in
            state.uid == grant.accountUID && (request.kind == .podToken || state.email == grant.email)
        }
        if !was {
            violated(
                .presentAccount,
                "request \(number) got a token for \(grant.email ?? "the pool"), \(grant.accountUID), which its "
                    + "ServiceAccount has not been for \(oldestServed)")
        }
    }

    /// The age up to which a ServiceAccount's record may be served now.
    var oldestServed: Duration {
        now < accountsTroubledUntil ? Self.oldestAccount : Self.oldestPresentAccount
    }

    private func judgeEmail(_ response: Response, _ number: Int, _ pod: SimulatedPod) {
        guard case .text(let text) = response.body, let account = cluster.account(pod.namespace, pod.account) else {
            return
        }
        judge.check(.presentAccount)
        let was = cluster.accounts[account].was(since: now - oldestServed) { state in
            state.email == text || (state.email == nil && text == SimulatedNode.google.poolName)
        }
        if !was { violated(.presentAccount, "request \(number) got the email \(text), which is not its account's") }
    }
}
