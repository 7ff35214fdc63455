import Attribution
import KubernetesAPI
import NIOCore
import NIOHTTP1
import Tokens
import UpstreamHTTP

/// One call that an agent made, for as long as it is under way.
struct CallEntry {
    var agent: SimulatedAgent.ID
    /// `nil`: calls of this kind are not looked at one by one.
    var key: String?
    /// The pod that the call is for.
    var pod: PodUID?
    /// How often the agent had forgotten that pod when the call began.
    var generation = 0
    var longestRetryAfter = Duration.seconds(60)
}

/// The world's notes about the calls and records of agents, and their checks.
extension World {
    // MARK: Calls

    func enter(_ call: UpstreamCall, of id: SimulatedAgent.ID, _ node: Int) -> CallEntry {
        judge.upstreamCalls += 1
        var entry = entry(call, id)
        guard let key = entry.key else { return entry }
        let memory = memories[id]
        entry.generation = memory.generation(of: entry.pod)
        judge.check(.singleFetch)
        var calls = memory.calls[entry.pod]?[key] ?? CallMemory()
        calls.count += 1
        memory.calls[entry.pod, default: [:]][key] = calls
        if calls.count > 1 {
            violated(.singleFetch, "agent \(id) makes a call that is under way: \(key)")
        }
        judge.check(.retry)
        if let moment = calls.notBefore, now < moment {
            violated(.retry, "agent \(id) repeats a call \(moment - now) too early: \(key)")
        }
        return entry
    }

    private func entry(_ call: UpstreamCall, _ id: SimulatedAgent.ID) -> CallEntry {
        switch Destination(call.url) {
        case .securityTokenService:
            let fields = WireText.fields(Substring(call.body.map { String(buffer: $0) } ?? ""))
            let grant = fields["subject_token"].flatMap { grants[$0] }
            guard let grant else { return CallEntry(agent: id, key: nil) }
            return CallEntry(agent: id, key: "sts \(grant.accountUID) \(fields["scope"] ?? "")", pod: grant.pod)
        case .iamCredentials:
            let bearer = call.headers.first(name: "authorization").map { String($0.dropFirst(7)) } ?? ""
            guard let grant = grants[bearer] else { return CallEntry(agent: id, key: nil) }
            let body = call.body.map { String(buffer: $0) } ?? ""
            return CallEntry(agent: id, key: "iam \(grant.accountUID) \(call.url) \(body)", pod: grant.pod)
        case .apiServer:
            if call.method == .GET, WireText.holds(call.url, "/serviceaccounts/") {
                return CallEntry(agent: id, key: call.url, longestRetryAfter: .seconds(10))
            }
            // A caller whose pod is not known may have the pods listed again at once.
            return CallEntry(agent: id, key: nil)
        }
    }

    func leave(_ entry: CallEntry, _ answer: UpstreamResponse?, _ node: Int) {
        guard let key = entry.key else { return }
        let memory = memories[entry.agent]
        // The agent forgot the pod meanwhile: what it asks for next is another entry's.
        guard entry.generation == memory.generation(of: entry.pod), var calls = memory.calls[entry.pod]?[key] else {
            return
        }
        calls.count -= 1
        calls.notBefore = pause(after: answer, entry.longestRetryAfter).map { now + $0 }
        let isOver = calls.count <= 0 && calls.notBefore == nil
        memory.calls[entry.pod]?[key] = isOver ? nil : calls
    }

    /// How long the same call may not be made again after this answer, or after none.
    private func pause(after answer: UpstreamResponse?, _ longest: Duration) -> Duration? {
        guard let answer else { return .milliseconds(50) }
        // A new subject token, or new credentials of the node, may please at once.
        if answer.isSuccess || answer.status == 401 || answer.status == 400 { return nil }
        return max(min(answer.retryAfter() ?? .zero, longest), .milliseconds(50))
    }

    // MARK: Pods

    /// The agent's watch brought something.
    func learnt(_ event: PodEvent, by id: SimulatedAgent.ID, _ node: SimulatedNode, _ directory: PodDirectory) {
        guard let agent = [node.agent, node.successor].compactMap({ $0 }).first(where: { $0.id == id }) else { return }
        if options.mutation == .deletionsIgnored, case .deleted = event { return noteEnd(event, agent) }
        guard directory.apply(event) else { return note("agent \(id) outdated event") }
        noteEnd(event, agent)
        if directory.count > cluster.everOn[node.number, default: 0] {
            violated(.bounded, "agent \(id) knows more pods than its node ever had")
        }
        if case .replaced(let pods) = event {
            note("agent \(id) listed \(pods.count) pods")
            agent.listed()
        }
    }

    private func noteEnd(_ event: PodEvent, _ agent: SimulatedAgent) {
        let memory = agent.memory
        switch event {
        case .deleted(let uid):
            note("agent \(agent.id) deleted \(uid)")
            memory.ended[uid] = now
        case .updated(let pod):
            note("agent \(agent.id) updated \(pod.uid) \(pod.phase.rawValue)")
            memory.heard(of: pod, at: now)
        case .replaced(let pods):
            for pod in pods { memory.heard(of: pod, at: now) }
        }
    }

    /// The agent dropped what it held for a pod: another fetch for it is another entry's.
    func forgot(_ pod: PodUID, by id: SimulatedAgent.ID, _ node: SimulatedNode) {
        memories[id].calls[pod] = nil
        memories[id].generations[pod, default: 0] += 1
    }

    // MARK: Audit

    func audited(_ line: String, by id: SimulatedAgent.ID, _ node: SimulatedNode) {
        if options.mutation == .auditLinesLost, serial() % 10 == 0 { return }
        guard let record = WireJSON(Array(line.utf8)), let event = record["event"]?.text,
            let count = record["count"]?.number
        else { return violated(.audit, "an audit line is not JSON") }
        judgeText(line, of: "an audit line")
        switch (event, record["result"]?.text) {
        case ("mint", "minted"):
            let target = record["targetAccount"]?.text ?? ""
            let purpose = [record["podUid"]?.text, record["kind"]?.text, target, record["audience"]?.text]
            node.ledger.audited[purpose.compactMap { $0 }.joined(separator: " "), default: 0] += 1
            node.ledger.auditedMints += 1
        case ("mint", _): memories[id].auditedFailures += count
        default: memories[id].auditedDenials += count
        }
    }

    func reported(_ report: TokenFetchReport, by id: SimulatedAgent.ID, _ node: SimulatedNode) {
        guard report.failure == nil else {
            memories[id].failures += 1
            return
        }
        node.ledger.mints += 1
    }

    func reportedAccountFailure(by id: SimulatedAgent.ID, _ node: SimulatedNode) {
        memories[id].failures += 1
    }
}
