import Attribution

/// One pod of the simulated cluster, as it truly is.
struct SimulatedPod {
    let index: Int
    let uid: PodUID
    let namespace: String
    let name: String
    let account: String
    let node: Int
    /// The cgroup of the pod's level, and that of its container.
    let cgroup: CgroupID
    let container: CgroupID
    let path: [UInt8]
    let isDenied: Bool
    /// Asks for as many different tokens as it can.
    let isGreedy: Bool
    /// The UID that it claims to be the mirror of.
    var claimed: PodUID?
    /// Whether another pod had its UID before: an agent may take its UID for one that has ended, until it lists the pods.
    var isReused = false
    let bornAt: ContinuousClock.Instant
    var phase = "Pending"
    var isTerminating = false
    /// Whether the API server has an object of it.
    var isListed = true
    var hasCgroup = false

    /// Whether its containers run.
    var isRunning: Bool { hasCgroup && isListed && phase == "Running" }
}

/// One ServiceAccount, with what it was before.
struct SimulatedAccount {
    struct State: Equatable {
        var uid: String
        /// The annotation `iam.gke.io/gcp-service-account`.
        var email: String?
    }

    let namespace: String
    let name: String
    /// `nil`: it does not exist.
    private(set) var state: State?
    /// The former states, each with the moment of its end.
    private(set) var past: [(state: State?, end: ContinuousClock.Instant)] = []

    init(namespace: String, name: String, state: State?) {
        (self.namespace, self.name, self.state) = (namespace, name, state)
    }

    mutating func become(_ new: State?, at now: ContinuousClock.Instant) {
        past.append((state, now))
        if past.count > 64 { past.removeFirst() }
        state = new
    }

    /// How many UIDs it has had, as far as its former states are kept.
    var uidCount: Int { Set(past.compactMap { $0.state?.uid } + [state?.uid].compactMap { $0 }).count }

    /// Whether it was in a state that `matches`, at some time since `moment`.
    func was(since moment: ContinuousClock.Instant, _ matches: (State) -> Bool) -> Bool {
        if let state, matches(state) { return true }
        return past.contains { entry in entry.end >= moment && entry.state.map(matches) == true }
    }
}

/// The objects that the API server holds, and the latest changes of pods.
struct Cluster {
    struct Change {
        var version: Int
        var type: String
        var node: Int
        var pod: Int
        var object: String
    }

    var pods: [SimulatedPod] = []
    /// The numbers of the pods that have an object, by node, the oldest first.
    private(set) var listed: [Int: [Int]] = [:]
    private var named: [String: [Int]] = [:]
    private var accountIndex: [String: Int] = [:]
    var accounts: [SimulatedAccount] = []
    private(set) var version = 1_000
    private(set) var changes: [Change] = []
    /// A watch that begins before this version gets 410.
    private(set) var oldest = 1_000
    private static let kept = 512

    mutating func add(_ pod: SimulatedPod) {
        pods.append(pod)
        listed[pod.node, default: []].append(pod.index)
        named["\(pod.namespace)/\(pod.name)", default: []].append(pod.index)
    }

    mutating func add(_ account: SimulatedAccount) {
        accountIndex["\(account.namespace)/\(account.name)"] = accounts.count
        accounts.append(account)
    }

    /// The API server removes the pod's object.
    mutating func unlist(_ index: Int) {
        let (pod, name) = (pods[index], "\(pods[index].namespace)/\(pods[index].name)")
        pods[index].isListed = false
        listed[pod.node]?.removeAll { $0 == index }
        named[name]?.removeAll { $0 == index }
        if named[name]?.isEmpty == true { named[name] = nil }
    }

    /// The pod that has an object of this name.
    func pod(_ namespace: String, _ name: String) -> SimulatedPod? {
        named["\(namespace)/\(name)"]?.last.map { pods[$0] }
    }

    /// Notes a change of a pod, and returns it for the watches.
    mutating func changed(_ pod: Int, _ type: String) -> Change {
        version += 1
        let change = Change(
            version: version, type: type, node: pods[pod].node, pod: pod, object: object(pods[pod]))
        changes.append(change)
        if changes.count > Self.kept {
            oldest = changes[0].version
            changes.removeFirst()
        }
        return change
    }

    mutating func compact() {
        version += 1
        oldest = version
        changes = []
    }

    func account(_ namespace: String, _ name: String) -> Int? {
        accountIndex["\(namespace)/\(name)"]
    }

    /// The pod as the API server writes it, with a few of the fields that the agent skips.
    func object(_ pod: SimulatedPod) -> String {
        let deletion = pod.isTerminating ? #","deletionTimestamp":"2026-11-29T12:00:00Z","# : ","
        let labels = pod.isDenied ? #"{"app":"sim","credentials":"none"}"# : #"{"app":"sim"}"#
        let claim = pod.claimed.map {
            #""annotations":{"kubernetes.io/config.hash":"\#($0)","kubernetes.io/config.mirror":"\#($0)"},"#
        }
        return #"{"kind":"Pod","metadata":{"name":"\#(pod.name)","namespace":"\#(pod.namespace)","#
            + #""uid":"\#(pod.uid)","resourceVersion":"\#(version)"\#(deletion)\#(claim ?? "")"labels":\#(labels)},"#
            + #""spec":{"nodeName":"node-\#(pod.node)","serviceAccountName":"\#(pod.account)","#
            + #""containers":[{"name":"main","image":"registry/app:1"}]},"#
            + #""status":{"phase":"\#(pod.phase)","podIP":"10.0.0.1"}}"#
    }
}
