import Attribution
import Tokens

/// The world's notes about the records of agents, and their checks.
extension World {
    // MARK: Pods

    /// The agent's watch brought something.
    func learnt(_ event: PodEvent, by id: SimulatedAgent.ID, _ node: SimulatedNode, _ directory: PodDirectory) {
        guard let agent = [node.agent, node.successor].compactMap({ $0 }).first(where: { $0.id == id }) else { return }
        if options.mutation == .deletionsIgnored, case .deleted = event { return noteEnd(event, agent) }
        guard directory.apply(mutated(event, in: directory)) else { return note("agent \(id) outdated event") }
        noteEnd(event, agent)
        judgePods(of: agent)
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
            memory.known.remove(uid)
        case .updated(let pod):
            note("agent \(agent.id) updated \(pod.uid) \(pod.phase.rawValue)")
            memory.heard(of: pod, at: now)
            memory.known.insert(pod.uid)
        case .replaced(let pods):
            for pod in pods { memory.heard(of: pod, at: now) }
            memory.known = Set(pods.map(\.uid))
        }
    }

    /// The agent dropped what it held for a pod: another fetch for it is another entry's.
    func forgot(_ pod: PodUID, by id: SimulatedAgent.ID, _ node: SimulatedNode) {
        let memory = memories[id]
        memory.orphans.formUnion((memory.calls[pod] ?? [:]).values.compactMap(\.fetch))
        memory.calls[pod] = nil
        memory.generations[pod, default: 0] += 1
        memory.departures.append(now)
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
