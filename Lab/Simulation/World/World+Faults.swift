import Attribution
import Tokens
import VirtualTime

/// Faults, injected as the seed decides.
extension World {
    func planFaults(until end: Duration) {
        let kinds = Fault.drawn.filter { options.faults.contains($0) }
        guard !kinds.isEmpty else { return }
        planNext(kinds, until: end)
    }

    private func planNext(_ kinds: [Fault], until end: Duration) {
        let pause = random.duration(.seconds(1), options.faultPause * 3)
        timeline.after(pause) { [self] in
            guard now < timeline.start + end, !isQuiet else { return }
            inject(random.pick(kinds), until: end)
            planNext(kinds, until: end)
        }
    }

    private func inject(_ fault: Fault, until end: Duration) {
        // Drawn even for a fault that is left out: what follows stays as it was.
        let length: Duration? =
            fault.isMoment
            ? nil : random.duration(.milliseconds(200), .seconds(random.chance(0.05) ? 4_000 : 400))
        guard !options.leftOut.contains(fault) else { return }
        count(fault)
        note("fault \(fault.rawValue)")
        if let length {
            weather.begin(fault, from: now, until: now + length)
            if fault.troublesAccounts { trouble(for: length) }
            if fault == .credentialsExpired { expireCredentials(for: length) }
            return
        }
        switch fault {
        case .watchCut, .watchGarbage: disturbWatches(by: fault)
        case .watchCompacted:
            cluster.compact()
            disturbWatches(by: .watchCut)
        case .iamRevokes:
            for key in grants.keys where grants[key]?.kind == .federated { grants[key]?.isRevoked = true }
        case .cgroupEventsLost: loseCgroupEvents()
        case .credentialsRotated:
            random.pick(nodes).kubelet.rotate()
            trouble(for: .zero)
        case .podBurst: burst()
        case .podsReplaced: replacePods()
        case .podUIDReused: reuseUID()
        case .podUIDClaimed: claimUID()
        case .nodeClockSteps:
            let step = random.duration(.seconds(1), .seconds(86_400))
            random.pick(nodes).calendarOffset = random.chance(0.5) ? step : .zero - step
        case .nodeSuspended: suspendNode(until: end)
        case .accountRecreated, .accountDeleted, .annotationFlips: changeAccount(fault)
        case .agentCrashes, .agentRestarts, .agentUpgrades: disturbAgent(fault)
        default: break
        }
    }

    /// The longest pause after a failed read is 10 s, by `Retry-After`.
    private func trouble(for length: Duration) {
        accountsTroubledUntil = max(accountsTroubledUntil, now + length + .seconds(13))
    }

    private func expireCredentials(for length: Duration) {
        let kubelet = random.pick(nodes).kubelet
        kubelet.expire(true)
        timeline.after(length) {
            kubelet.expire(false)
            kubelet.rotate()
        }
    }

    private func loseCgroupEvents() {
        let node = random.pick(nodes)
        node.losesCgroupEvents = true
        timeline.after(random.duration(.milliseconds(1), .seconds(5))) { node.reportLoss() }
    }

    /// Pods that live for milliseconds.
    private func burst() {
        let node = random.below(nodes.count)
        for _ in 0..<(5 + random.below(30)) {
            let delay = Duration.milliseconds(random.below(2_000))
            timeline.after(delay) {
                self.createPod(on: node, for: .milliseconds(1 + self.random.below(900)), isReplaced: false)
            }
        }
    }

    /// Pods of a StatefulSet: the same names, other UIDs, at once.
    private func replacePods() {
        let running = runningPods()
        for pod in running.prefix(4) {
            removeCgroupNow(of: pod.index)
            removeObject(of: pod.index)
            createPod(on: pod.node, named: pod.name, in: pod.namespace)
        }
    }

    /// The pods that run and claim to be no other's mirror, the oldest first.
    private func runningPods() -> [SimulatedPod] {
        let listed = nodes.flatMap { cluster.listed[$0.number] ?? [] }.sorted()
        return listed.map { cluster.pods[$0] }.filter { !$0.isTerminating && $0.claimed == nil }
    }

    /// A pod goes, and another one gets its UID: of another name, and by chance of another ServiceAccount.
    private func reuseUID() {
        let pods = runningPods()
        guard !pods.isEmpty else { return }
        let pod = random.pick(pods)
        removeCgroupNow(of: pod.index)
        removeObject(of: pod.index)
        timeline.after(random.duration(.milliseconds(20), .seconds(30))) {
            self.createPod(on: pod.node, in: pod.namespace, reusing: pod.uid)
        }
    }

    /// A user makes a pod that claims to be the mirror of another's.
    private func claimUID() {
        let pods = runningPods()
        guard !pods.isEmpty else { return }
        let pod = random.pick(pods)
        createPod(on: pod.node, isReplaced: false, claiming: pod.uid)
    }

    /// The machine sleeps: neither its pods nor its agent do anything, and nothing reaches them.
    private func suspendNode(until end: Duration) {
        let (node, length) = (random.pick(nodes), random.duration(.seconds(1), .seconds(3_500)))
        guard node.sleepLeft(at: now) == nil, now + length < timeline.start + end else { return }
        note("node \(node.number) sleeps for \(length)")
        node.sleep(for: length, at: now)
        // A read that was under way ends after the sleep.
        timeline.after(length) { self.trouble(for: .zero) }
    }

    private func removeCgroupNow(of index: Int) {
        let pod = cluster.pods[index]
        guard pod.hasCgroup else { return }
        cluster.pods[index].hasCgroup = false
        nodes[pod.node].remove(pod.container)
        nodes[pod.node].remove(pod.cgroup)
    }

    private func changeAccount(_ fault: Fault) {
        let index = random.below(cluster.accounts.count)
        switch fault {
        case .annotationFlips:
            guard let state = cluster.accounts[index].state else { return }
            cluster.accounts[index].become(.init(uid: state.uid, email: makeEmail()), at: now)
        case .accountDeleted:
            cluster.accounts[index].become(nil, at: now)
            timeline.after(random.duration(.milliseconds(10), .seconds(300))) {
                if !self.isQuiet { self.recreateAccount(index) }
            }
        default:
            recreateAccount(index)
        }
    }

    private func recreateAccount(_ index: Int) {
        cluster.accounts[index].become(.init(uid: makeUID(), email: makeEmail()), at: now)
        note("account \(index) made again")
    }

    // MARK: Agents

    func startAgent(on node: SimulatedNode, after predecessor: SimulatedAgent? = nil) {
        do {
            let agent = try SimulatedAgent(memories.count, on: node, in: self)
            if predecessor == nil { node.agent = agent } else { node.successor = agent }
            agent.start()
            note("agent \(agent.id) starts on node \(node.number)")
        } catch {
            violated(.answered, "an agent does not start: \(error)")
        }
    }

    private func disturbAgent(_ fault: Fault) {
        let node = random.pick(nodes)
        guard let agent = node.agent, node.sleepLeft(at: now) == nil else { return }
        switch fault {
        case .agentUpgrades:
            guard node.successor == nil else { return }
            startAgent(on: node, after: agent)
            awaitList(of: node, patience: 300)
        default:
            node.successor?.end(crashing: true)
            node.successor = nil
            end(agent, on: node, crashing: fault == .agentCrashes)
            timeline.after(random.duration(.milliseconds(50), .seconds(30))) {
                if node.agent == nil { self.startAgent(on: node) }
            }
        }
    }

    /// A successor takes over once it has listed the pods itself; where it cannot within 30 s, it gives up.
    private func awaitList(of node: SimulatedNode, patience: Int) {
        timeline.after(.milliseconds(100)) { [self] in
            guard let successor = node.successor else { return }
            guard let agent = node.agent, patience > 0 else {
                successor.end(crashing: true)
                node.successor = nil
                return
            }
            guard successor.isListed else { return awaitList(of: node, patience: patience - 1) }
            handOver(from: agent, to: successor)
            successor.memory.inherit(from: agent.memory)
            node.successor = nil
            end(agent, on: node, crashing: false)
            node.agent = successor
        }
    }

    func end(_ agent: SimulatedAgent, on node: SimulatedNode, crashing: Bool) {
        note("agent \(agent.id) \(crashing ? "crashes" : "ends")")
        agent.end(crashing: crashing)
        node.agent = nil
        guard !crashing else { return }
        let memory = agent.memory
        timeline.after(.seconds(1)) { self.judgeAudit(of: memory, agent.id) }
    }

    /// Judges the audit: when an agent has written its last line, every denial has been told.
    private func judgeAudit(of memory: AgentMemory, _ id: SimulatedAgent.ID) {
        judge.check(.audit)
        if memory.denials != memory.auditedDenials {
            violated(.audit, "agent \(id) denied \(memory.denials) requests and audited \(memory.auditedDenials)")
        }
        if memory.failures != memory.auditedFailures {
            violated(.audit, "\(memory.failures) fetches of agent \(id) failed, \(memory.auditedFailures) are audited")
        }
    }
}
