import Attribution
import VirtualTime

/// Pods that come and go, and what their clients ask.
extension World {
    static let namespaces = ["shop", "data"]
    static let accountNames = ["web", "jobs", "batch"]

    func populate() {
        for namespace in Self.namespaces {
            for name in Self.accountNames {
                let state = SimulatedAccount.State(uid: makeUID(), email: makeEmail())
                cluster.add(SimulatedAccount(namespace: namespace, name: name, state: state))
            }
        }
        for number in 0..<options.nodes {
            let node = SimulatedNode(number: number)
            node.makeGroups()
            nodes.append(node)
            for _ in 0..<options.podsPerNode { createPod(on: number) }
        }
    }

    /// A Google service account that may be impersonated, one that may not, or none.
    func makeEmail() -> String? {
        switch random.below(10) {
        case 0..<4: nil
        case 4: "unbound-\(random.below(3))@simulation.iam.gserviceaccount.com"
        default: "bound-\(random.below(4))@simulation.iam.gserviceaccount.com"
        }
    }

    @discardableResult
    func createPod(
        on node: Int, named name: String? = nil, in place: String? = nil, for life: Duration? = nil,
        isUnannounced: Bool = false, isReplaced: Bool = true, reusing former: PodUID? = nil,
        claiming claimed: PodUID? = nil
    ) -> Int {
        guard let uid = former ?? PodUID(makeUID()) else { return 0 }
        let index = cluster.pods.count
        let directory = String(decoding: SimulatedNode.root.path, as: UTF8.self)
        let isBurstable = random.chance(0.5)
        let path = directory + (isBurstable ? "/burstable" : "") + "/pod\(uid)"
        let namespace = place ?? random.pick(Self.namespaces)
        cluster.add(
            SimulatedPod(
                index: index, uid: uid, namespace: namespace,
                name: name ?? "\(namespace)-\(node)-\(random.below(12))-\(index)",
                account: random.pick(Self.accountNames), node: node, cgroup: cgroupID(), container: cgroupID(),
                path: Array(path.utf8), isDenied: random.chance(0.05), isGreedy: random.chance(options.greed),
                claimed: claimed, isReused: former != nil, bornAt: now))
        let change = cluster.changed(index, "ADDED")
        if !isUnannounced { announce(change) }
        note("pod \(index) created \(uid) on node \(node)")
        timeline.after(.milliseconds(20 + random.below(400))) { self.startPod(index, isUnannounced) }
        timeline.after(life ?? random.duration(.seconds(30), .seconds(12 * 3_600))) { self.endPod(index, isReplaced) }
        return index
    }

    private func startPod(_ index: Int, _ isUnannounced: Bool) {
        let pod = cluster.pods[index]
        guard pod.isListed, !pod.isTerminating else { return }
        cluster.pods[index].hasCgroup = true
        nodes[pod.node].make(pod.cgroup, at: pod.path)
        nodes[pod.node].make(pod.container, at: pod.path + Array("/\(String(repeating: "ab", count: 32))".utf8))
        cluster.pods[index].phase = "Running"
        // A real kubelet's status comes half a second after the containers began.
        timeline.after(.milliseconds(random.below(800))) {
            guard self.cluster.pods[index].isListed, !isUnannounced else { return }
            self.announce(self.cluster.changed(index, "MODIFIED"))
        }
        timeline.after(.milliseconds(random.below(100))) { self.ask(index) }
    }

    /// One request now, and the next later.
    private func ask(_ index: Int) {
        let pod = cluster.pods[index]
        guard pod.hasCgroup, !isQuiet || random.chance(0.5) else { return }
        send(ClientRequest(kind: kind(for: pod)), from: index)
        if pod.isGreedy, random.chance(0.1) { askGreedily(index) }
        timeline.after(random.duration(.milliseconds(200), .seconds(1_800))) { self.ask(index) }
    }

    private func kind(for pod: SimulatedPod) -> ClientRequest.Kind {
        switch random.below(10) {
        case 0: .identity(audience: "https://service-\(random.below(3))")
        case 1: .podToken
        case 2: .email
        case 3: .access(scopes: "https://www.googleapis.com/auth/devstorage.read_only")
        default: .access(scopes: nil)
        }
    }

    /// The pod ends: by itself, or because it is deleted; its cgroup goes before or after its object.
    func endPod(_ index: Int, _ isReplaced: Bool) {
        let pod = cluster.pods[index]
        guard pod.isListed, !pod.isTerminating else { return }
        if random.chance(0.3) {
            cluster.pods[index].phase = random.chance(0.7) ? "Succeeded" : "Failed"
            announce(cluster.changed(index, "MODIFIED"))
            note("pod \(index) finished")
            timeline.after(random.duration(.milliseconds(100), .seconds(60))) { self.deletePod(index) }
        } else {
            deletePod(index)
        }
        if isReplaced, !isQuiet || random.chance(0.5) { createPod(on: pod.node) }
    }

    private func deletePod(_ index: Int) {
        cluster.pods[index].isTerminating = true
        announce(cluster.changed(index, "MODIFIED"))
        let pod = cluster.pods[index]
        note("pod \(index) terminating")
        let (first, second) = (random.duration(.milliseconds(1), .seconds(30)), random.below(2_000))
        let isListedLonger = random.chance(0.8)
        timeline.after(first) {
            if isListedLonger { self.removeCgroup(of: index) } else { self.removeObject(of: index) }
            self.timeline.after(.milliseconds(second)) {
                if isListedLonger { self.removeObject(of: index) } else { self.removeCgroup(of: index) }
            }
        }
        // A connection that outlives its pod goes on asking.
        if random.chance(0.3) {
            for delay in [1, 5, 40] {
                timeline.after(.seconds(delay)) { self.send(ClientRequest(kind: self.kind(for: pod)), from: index) }
            }
        }
    }

    private func removeCgroup(of index: Int) {
        let pod = cluster.pods[index]
        guard pod.hasCgroup else { return }
        cluster.pods[index].hasCgroup = false
        nodes[pod.node].remove(pod.container)
        nodes[pod.node].remove(pod.cgroup)
        note("pod \(index) cgroup removed")
    }

    func removeObject(of index: Int) {
        guard cluster.pods[index].isListed else { return }
        cluster.unlist(index)
        announce(cluster.changed(index, "DELETED"))
        note("pod \(index) deleted")
    }
}
