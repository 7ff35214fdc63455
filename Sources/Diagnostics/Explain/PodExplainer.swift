import Attribution
import BPF
import Enforcement
import KubernetesAPI
import MetadataProtocol
import Operations
import Settings
import Text
import Tokens

/// Says stage by stage why a pod does or does not get its identity. The last stages are a real mint.
struct PodExplainer: Sendable {
    let configuration: AgentConfiguration
    let root: KubepodsRoot
    let index: CgroupIndex
    let directory: PodDirectory
    let watcher: PodWatcher
    let tokens: TokenService
    let datapath: AttachedDatapath
    let namespaces: NamespaceKeeper
    let readiness: ReadinessProbe
    let remedies: ExplainRemedies
    let clouds: CloudExplainer
    let spiffe: DebugEndpoints.SpiffeExplainer?

    private typealias Stage = Explanation.Stage

    /// A silence of the watch that bookmarks, which come every minute, do not explain.
    private static let freshWatch = Duration.seconds(150)
    /// A handshake on one node takes microseconds.
    private static let arrivalLimit = Duration.seconds(1)
    /// How long a pod that is asked for by UID may take to appear in the list.
    private static let holdLimit = Duration.seconds(2)

    /// Explains the pod called `query`: a UID, or `namespace/name`, or a name that only one pod has.
    func explain(_ query: String) async -> Explanation {
        var stages = [watchStage, hookStage, connectionStage]
        guard watcher.status.isSynced else {
            return Explanation(node: configuration.nodeName, pod: nil, uid: nil, stages: stages)
        }
        let pod: PodRecord
        switch await find(query) {
        case .success(let record): pod = record
        case .failure(let stage):
            stages.append(stage.stage)
            return Explanation(
                node: configuration.nodeName, pod: query, uid: PodUID(query)?.description, stages: stages)
        }
        stages.append(Stage("pod", .ok, "\(pod.phase.rawValue), runs on this node"))
        stages += localStages(of: pod)
        if let stage = await arrivalStage(of: pod) { stages.append(stage) }
        if stages.contains(where: { $0.outcome == .failed && !["cgroup", "connection", "arrivals"].contains($0.name) })
        {
            // Above all: a pod that has finished must get no token, and the API server would still mint one.
            stages.append(Stage("mint", .skipped, "not tried"))
        } else {
            stages += await mintStages(of: pod)
            if let spiffe { stages.append(await spiffe(pod)) }
        }
        return Explanation(
            node: configuration.nodeName, pod: "\(pod.namespace)/\(pod.name)", uid: pod.uid.description,
            stages: stages)
    }

    /// Tries a real mint with each cloud that the pod's ServiceAccount names.
    private func mintStages(of pod: PodRecord) async -> [Stage] {
        let account = clouds.modules.isEmpty ? nil : try? await tokens.serviceAccount(of: pod)
        guard let account else { return remedies.stages(of: await tokens.tryMinting(for: pod), pod: pod) }
        let others = await clouds.stages(of: pod, account)
        guard configuration.servesGoogle else {
            return [Stage("google", .skipped, "the configuration's 'clouds' lacks google")] + others
        }
        if clouds.isOthersAlone(account) {
            let reason = "\(account.reference) names an identity of another cloud and none of Google's"
            return [Stage("google", .skipped, reason)] + others
        }
        return remedies.stages(of: await tokens.tryMinting(for: pod), pod: pod) + others
    }

    // MARK: The node

    private var watchStage: Stage {
        let status = watcher.status
        guard status.isSynced else {
            return Stage(
                "pod list", .failed, "no list of this node's pods yet: \(status.lastError ?? "the first is under way")",
                remedy: "check that the API server can be reached and takes the node's credentials "
                    + "(kubernetes.kubeconfig), and that node-name is this node's")
        }
        let pods = counted(directory.count, "pod")
        guard status.isFresh(within: Self.freshWatch) else {
            return Stage(
                "pod list", .warning, "\(pods), but nothing new for a while: \(status.lastError ?? "")",
                remedy: "the API server does not answer; what is known is still served")
        }
        return Stage("pod list", .ok, "\(pods), followed")
    }

    private var hookStage: Stage {
        guard let datapath = datapath.current else {
            return Stage("hooks", .failed, "nothing is attached yet", remedy: "the agent is starting; see its log")
        }
        guard case .active = datapath.hostGuard else {
            return Stage("hooks", .warning, "\(datapath.hooks.count) in place, without the guard against raw frames")
        }
        return Stage("hooks", .ok, "\(datapath.hooks.count) in place")
    }

    private var connectionStage: Stage {
        let condition = readiness.connection
        guard let problem = condition.problem else {
            let isProven = configuration.podUID != nil
            let remark = condition.remark ?? ""
            return Stage(
                "connection", isProven ? .ok : .skipped, isProven ? "the agent's own is \(remark)" : remark)
        }
        return Stage(
            "connection", .failed, "the agent's own connection through the hooks fails: \(problem)",
            remedy: "'podidentd check' on this node looks at each step between the hooks and the agent; what fails for "
                + "the agent's own pod fails for every pod")
    }

    // MARK: The pod

    /// The stage that says why there is no pod.
    struct NoPod: Error {
        var stage: Explanation.Stage

        init(_ detail: String, remedy: String) {
            stage = Stage("pod", .failed, detail, remedy: remedy)
        }
    }

    private func find(_ query: String) async -> Result<PodRecord, NoPod> {
        if let uid = PodUID(query) { return await find(uid) }
        return Self.find(query, among: directory.snapshot(), node: configuration.nodeName)
    }

    /// The pod that a name means: `namespace/name`, or a name that only one pod has.
    static func find(_ query: String, among pods: [PodRecord], node: String) -> Result<PodRecord, NoPod> {
        let parts = query.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let matches = pods.filter { pod in
            parts.count == 2 ? pod.namespace == parts[0] && pod.name == parts[1] : pod.name == query
        }
        if matches.count > 1 {
            let names = matches.map { "\($0.namespace)/\($0.name)" }.joined(separator: ", ")
            return .failure(NoPod("\(matches.count) pods of this node have that name: \(names)", remedy: "name one"))
        }
        if let match = matches.first { return .success(match) }
        let command =
            parts.count == 2
            ? "kubectl get pod -n \(parts[0]) \(parts[1]) -o wide" : "kubectl get pod -A -o wide | grep \(query)"
        return .failure(
            NoPod(
                "the API server does not list it for node \(node): it runs on another node, or does not exist",
                remedy: "'\(command)' says which; ask the agent of the pod's own node"))
    }

    private func find(_ uid: PodUID) async -> Result<PodRecord, NoPod> {
        switch directory.standing(of: uid) {
        case .known(let pod): return .success(pod)
        case .terminated:
            return .failure(
                NoPod(
                    "it was deleted from the API, or moved to another node",
                    remedy: "nothing: a pod that is gone gets nothing, even while its processes run"))
        case .unknown:
            if let pod = await directory.waitForRecord(of: uid, atMost: Self.holdLimit) { return .success(pod) }
            guard index.snapshot().contains(where: { $0.uid == uid }) else {
                return .failure(
                    NoPod(
                        "no cgroup below \(root) and no pod of node \(configuration.nodeName) has that UID",
                        remedy: "ask the agent of the pod's own node ('kubectl get pod -A -o wide')"))
            }
            return .failure(
                NoPod(
                    "a cgroup of that UID is here, but the API server lists no such pod for node "
                        + configuration.nodeName,
                    remedy: "check that node-name is this node's, and that no second kubelet uses "
                        + "\(root) (cgroup.kubepods)"))
        }
    }

    /// The pod's phase comes first: one that has finished has no cgroup either, and that is not why it gets nothing.
    private func localStages(of pod: PodRecord) -> [Stage] {
        var stages = Self.kindStages(of: pod) + Self.policyStages(of: pod)
        if !pod.phase.isTerminal { stages.append(Self.cgroupStage(of: pod, among: index.snapshot(), below: root)) }
        return stages
    }

    static func cgroupStage(
        of pod: PodRecord, among entries: [CgroupIndexEntry], below root: KubepodsRoot
    ) -> Explanation.Stage {
        let cgroups = entries.filter { entry in
            entry.uid == pod.uid || pod.staticPodConfigHash.map { $0 == entry.uid.description } ?? false
        }
        let podLevel = cgroups.filter { $0.kind == .pod }
        guard !podLevel.isEmpty else {
            return Stage(
                "cgroup", .failed, "none below \(root)",
                remedy: pod.phase == .pending
                    ? "no container of it has started yet: 'kubectl describe pod' says why"
                    : "is \(root) this kubelet's kubepods cgroup (cgroup.kubepods)? The kernel cannot tell "
                        + "connections of this pod from others'")
        }
        let ids = podLevel.map { "\($0.id.rawValue)" }.joined(separator: ", ")
        return Stage("cgroup", .ok, "\(ids), \(counted(cgroups.count - podLevel.count, "container")) below")
    }

    // MARK: Its connections

    private func traffic(of pod: PodRecord) -> PodTraffic? {
        let counts = index.snapshot().filter { $0.kind == .pod && $0.uid == pod.uid }
            .compactMap { datapath.current?.traffic(ofPod: $0.id) }
        return counts.isEmpty ? nil : counts.reduce(PodTraffic(), +)
    }

    /// The places where the agent listens for the pod, as `debug connections` shows them; `nil`: nowhere.
    private func listenerText(of pod: PodRecord) -> String? {
        let listeners = ListenerPlaces(namespaces.open, of: index.snapshot())
            .listeners(for: pod.uid, isHostNetwork: pod.isHostNetwork)
        return listeners.isEmpty ? nil : listeners.text
    }

    /// Compares what the kernel redirected with what arrived, and says where the agent listens; `nil`: the pod has not
    /// connected, and has no listener.
    private func arrivalStage(of pod: PodRecord) async -> Stage? {
        let text = listenerText(of: pod)
        let place = "the agent listens " + (text.map { "at \($0)" } ?? "nowhere")
        guard let first = traffic(of: pod), first.redirected > 0 else {
            return text.map { _ in Stage("arrivals", .ok, "no connection yet; \(place)") }
        }
        var last = first
        if first.unarrived >= ArrivalMonitor.unarrivedMin {
            // Connections of this moment may be under way.
            try? await Task.sleep(for: Self.arrivalLimit)
            last = traffic(of: pod) ?? first
        }
        let found = "\(counted(last.redirected, "connection")) redirected to the agent, \(last.arrived) arrived"
        guard last.arrived == first.arrived, last.unarrived >= ArrivalMonitor.unarrivedMin else {
            return Stage("arrivals", .ok, "\(found); \(place)")
        }
        return Stage(
            "arrivals", .failed, "\(found), none of the last \(last.unarrived); \(place)",
            remedy:
                "they never leave the pod's network namespace, so something inside it drops or takes them: a filter of "
                + "the pod's own that does not accept the interface lo, or a translation of addresses")
    }

    static func kindStages(of pod: PodRecord) -> [Explanation.Stage] {
        if pod.isTooLarge {
            return [
                Stage(
                    "object", .failed,
                    "its object in the API is larger than the \(KubernetesClient.objectLimit) bytes of JSON that the agent reads",
                    remedy: "make the pod's spec smaller: environment, annotations and arguments above all")
            ]
        }
        if pod.staticPodConfigHash != nil {
            return [
                Stage(
                    "kind", .failed, "a static pod: it has no ServiceAccount, hence no identity",
                    remedy: "run the workload as a DaemonSet or a Deployment")
            ]
        }
        if pod.phase.isTerminal {
            return [
                Stage(
                    "phase", .failed, "\(pod.phase.rawValue): it has finished and gets no more credentials",
                    remedy: "if it should run, look at its containers' exit codes and its restartPolicy")
            ]
        }
        return pod.isTerminating
            ? [Stage("phase", .warning, "is being deleted; it is served until its cgroup is gone")] : []
    }

    static func policyStages(of pod: PodRecord) -> [Explanation.Stage] {
        switch pod.policy {
        case .attribute: []
        case .deny:
            [
                Stage(
                    "policy", .failed, "deny: its connections to the metadata address are refused",
                    remedy: "change the policy that names this pod, if it should have an identity")
            ]
        case .passthrough:
            [
                Stage(
                    "policy", .failed, "passthrough: it talks to the machine's own metadata server, not to the agent",
                    remedy: "change the policy that names this pod, if it should have an identity of its own")
            ]
        }
    }
}
