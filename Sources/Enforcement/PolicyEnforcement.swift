package import Attribution
import BPF
package import Logging
import Synchronization

/// Keeps the kernel's policies equal to what the rules say about this node's pods.
///
/// A pod's record and its cgroup arrive in either order, and its first connection may be faster than both. Until the
/// kernel knows better it redirects the pod to the agent, which is the safe place: there the record decides, a `deny`
/// pod is refused, and a `passthrough` pod is told to try again on a new connection.
package final class PolicyEnforcement: Sendable {
    private struct State {
        var bindings = PolicyBindings()
        /// Whether the pod list has been seen: until then, what an earlier agent installed stands.
        var isSynced = false
    }

    /// The state, locked over the kernel's writes, so that they come in the order of the decisions.
    private let state = Mutex(State())
    private let root: KubepodsRoot
    private let directory: PodDirectory
    private let policies: PolicyTable
    private let datapath: AttachedDatapath
    private let logger: Logger

    package init(
        root: KubepodsRoot, directory: PodDirectory, policies: PolicyTable, datapath: AttachedDatapath, logger: Logger
    ) {
        self.root = root
        self.directory = directory
        self.policies = policies
        self.datapath = datapath
        self.logger = logger
    }

    /// Takes over what an earlier agent left in the kernel. Removes what belongs to removed cgroups, and policies that
    /// no rule gives any more. Call it when cgroup events are already being delivered.
    func adopt(from cgroups: CgroupFileSystem) {
        guard let datapath = datapath.current else { return }
        state.withLock { state in
            let dead = prune(datapath, cgroups, state)
            let installed = datapath.policiesByPod()
            adopt(installed, &state)
            if !installed.isEmpty || dead > 0 {
                logger.info(
                    "policies of an earlier agent taken over",
                    metadata: ["policies": "\(state.bindings.installed.count)", "pods-gone": "\(dead)"])
            }
        }
    }

    /// Whether another agent's rules count.
    var isYielded: Bool { state.withLock(\.bindings.isYielded) }

    /// Writes nothing, until ``reclaim()``: another agent has rules of its own, and does not look again at what it has decided.
    package func yield() {
        state.withLock { $0.bindings.isYielded = true }
    }

    /// Makes the kernel's policies what this agent's rules say: another agent may have written its own until now.
    func reclaim() {
        guard let datapath = datapath.current else { return }
        state.withLock { state in
            state.bindings.isYielded = false
            adopt(datapath.policiesByPod(), &state)
            refresh(nil, &state)
        }
    }

    /// Takes note of the kernel's policies, and removes those that no rule gives any more.
    private func adopt(_ installed: [CgroupID: PodPolicy], _ state: inout State) {
        state.bindings.adopt(installed)
        for (id, policy) in installed where !policies.names(policy) {
            apply([PolicyBindings.Change(cgroup: id, policy: .attribute)], &state)
        }
    }

    /// Removes what the kernel keeps for pods that are gone, and returns how many there were.
    @discardableResult
    private func prune(_ datapath: Datapath, _ cgroups: CgroupFileSystem, _ state: State) -> Int {
        guard !state.bindings.isYielded else { return 0 }
        return datapath.prune { cgroups.path(of: $0) != nil }
    }

    /// Forgets the cgroups whose end no event told, and what the kernel keeps for them.
    func sweep(_ cgroups: CgroupFileSystem) {
        state.withLock { state in
            for id in state.bindings.known where cgroups.path(of: id) == nil { state.bindings.remove(id) }
            if let datapath = datapath.current { prune(datapath, cgroups, state) }
        }
    }

    /// Notes a cgroup that was made or met on a walk; those that are no pod's are ignored.
    func observe(_ id: CgroupID, path: [UInt8]) {
        guard let parsed = root.parse(path), parsed.level == .pod else { return }
        state.withLock { state in
            guard state.bindings.bind(id, to: parsed.uid) else { return }
            refresh(parsed.uid, &state)
        }
    }

    /// Notes that a cgroup was removed.
    func remove(_ id: CgroupID) {
        state.withLock { state in
            state.bindings.remove(id)
            if !state.bindings.isYielded { datapath.current?.forget(pod: id) }
        }
    }

    /// Applies a change of the pod list, after the directory has.
    package func apply(_ event: PodEvent) {
        state.withLock { state in
            if case .replaced = event { state.isSynced = true }
            guard let uids = event.concernedUIDs else { return refresh(nil, &state) }
            for uid in uids { refresh(uid, &state) }
        }
    }

    private func refresh(_ uid: PodUID?, _ state: inout State) {
        let changes = state.bindings.changes(for: uid, isSynced: state.isSynced) { directory.standing(of: $0) }
        apply(changes, &state)
    }

    private func apply(_ changes: [PolicyBindings.Change], _ state: inout State) {
        guard !changes.isEmpty, !state.bindings.isYielded, let datapath = datapath.current else { return }
        for change in changes {
            var metadata: Logger.Metadata = ["cgroup": "\(change.cgroup)", "policy": "\(change.policy.rawValue)"]
            if let pod = state.bindings.uid(of: change.cgroup).flatMap({ directory.record(for: $0) }) {
                metadata["namespace"] = "\(pod.namespace)"
                metadata["pod"] = "\(pod.name)"
            }
            do throws(BPFError) {
                try datapath.setPolicy(change.policy, ofPod: change.cgroup)
                state.bindings.note(change)
                logger.info("policy set", metadata: metadata)
            } catch {
                // The pod is redirected to the agent instead, which refuses it; the next event tries again.
                logger.error("policy not set", metadata: metadata.merging(["reason": "\(error)"]) { $1 })
            }
        }
    }
}
