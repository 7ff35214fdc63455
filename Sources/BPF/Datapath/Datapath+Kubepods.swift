package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Synchronization

/// Tells the programs about the node, and attaches the guard of pods' sockets to the kubepods cgroups.
extension Datapath {
    struct KubepodsState {
        var value: nid_settings
        var hooks: [HookState] = []
        /// The guard's links. Their pins may go with the file system, see ``HeldPins``.
        var links: [String: CInt] = [:]
    }

    /// The pin of the guard at the agent's own kubepods cgroup; at another's its cgroup ID follows.
    static let guardPin = "egress"

    /// Tells the programs which tasks are pods', and guards what their sockets send. Until this is called for the first
    /// time, no process is in a pod.
    ///
    /// - Throws: Why one of the cgroups is not guarded; the programs know all of them nevertheless.
    package func setKubepods(_ kubepods: KubepodsCgroup) throws(BPFError) {
        var failure: BPFError?
        try kubepodsState.withLock { state throws(BPFError) in
            do throws(BPFError) {
                try guardSockets(of: kubepods, &state)
            } catch {
                failure = error
            }
            Self.write(kubepods, to: &state.value)
            try write(state.value)
        }
        if let failure { throw failure }
    }

    /// Gives the programs the node's own network namespace, and the cgroup whose processes alone may bind the agent's
    /// ports there. Processes are reported by their IDs in a PID namespace.
    ///
    /// - Parameters:
    ///   - namespace: The node's own.
    ///   - agentCgroup: The cgroup.
    ///   - processNamespace: The number of the PID namespace's file (`stat /proc/self/ns/pid`); 0: the initial one.
    /// - Throws: What the kernel said.
    package func setNode(
        _ namespace: NetworkNamespaceID, agentCgroup: CgroupID, processNamespace: UInt32 = 0
    ) throws(BPFError) {
        try kubepodsState.withLock { state throws(BPFError) in
            state.value.node_netns_cookie = namespace.cookie
            state.value.agent_cgroup = agentCgroup.rawValue
            state.value.pid_namespace = processNamespace
            try write(state.value)
        }
    }

    /// The number of this process's PID namespace.
    package static func ownProcessNamespace() throws(BPFError) -> UInt32 {
        var status = stat()
        try check(unsafe stat("/proc/self/ns/pid", &status), "read /proc/self/ns/pid")
        return UInt32(truncatingIfNeeded: status.st_ino)
    }

    /// Pins the guard of pods' sockets again, after the pins' file system was mounted again.
    func restoreGuardPins() throws(BPFError) {
        try kubepodsState.withLock { state throws(BPFError) in
            for (name, link) in state.links where unsafe access("\(pins.links)/\(name)", F_OK) != 0 {
                try check(unsafe bpf_obj_pin(link, "\(pins.links)/\(name)"), "pin again at \(pins.links)/\(name)")
            }
        }
    }

    /// Has the guards of pods' sockets run this agent's program again, those of them that are named, and the programs have
    /// this agent's settings.
    func reclaimKubepods(_ names: Set<String>) throws(BPFError) {
        try kubepodsState.withLock { state throws(BPFError) in
            for index in state.hooks.indices where names.contains(state.hooks[index].name) {
                let name = state.hooks[index].name
                guard let id = try BPFLink.pinned(at: "\(pins.links)/\(name)")?.cgroupID(),
                    let cgroup = cgroups.open(CgroupID(rawValue: id))
                else { continue }
                let program = try skeletons.withLock { skeletons throws(BPFError) in try skeletons.program(.egress) }
                let origin = try Self.attach(
                    program, to: cgroup, id: CgroupID(rawValue: id), pin: "\(pins.links)/\(name)")
                state.hooks[index] = HookState(name: name, origin: origin)
            }
            try write(state.value)
        }
    }

    private func write(_ settings: nid_settings) throws(BPFError) {
        try maps.settings.set(settings, for: 0, "tell the programs the kubepods cgroup")
    }

    private static func write(_ kubepods: KubepodsCgroup, to value: inout nid_settings) {
        value.kubepods_id = kubepods.id.rawValue
        value.kubepods_level = UInt32(kubepods.level)
        unsafe withUnsafeMutableBytes(of: &value.groups) { buffer in
            let groups = unsafe buffer.bindMemory(to: UInt64.self)
            for index in groups.indices {
                unsafe groups[index] =
                    (index < kubepods.qosClasses.count ? kubepods.qosClasses[index]?.rawValue : nil) ?? 0
            }
        }
        unsafe withUnsafeMutableBytes(of: &value.others) { buffer in
            let others = unsafe buffer.bindMemory(to: nid_tree.self)
            for index in others.indices {
                let other = index < kubepods.others.count ? kubepods.others[index] : nil
                unsafe others[index] = nid_tree(
                    id: other?.id.rawValue ?? 0, level: UInt32(other?.level ?? 0), reserved: 0)
            }
        }
    }

    /// Attaches the guard to each of the cgroups, and forgets it at those that are none any more.
    private func guardSockets(of kubepods: KubepodsCgroup, _ state: inout KubepodsState) throws(BPFError) {
        let others = kubepods.others.prefix(KubepodsCgroup.othersMax)
        let places = [(Self.guardPin, kubepods.id)] + others.map { ("\(Self.guardPin)-\($0.id.rawValue)", $0.id) }
        var failure: BPFError?
        for (name, id) in places {
            do throws(BPFError) {
                try guardSockets(below: id, pin: name, &state)
            } catch {
                // A tree of others may end between its being found and its being opened: nothing is left to guard.
                if id != kubepods.id, error.errorNumber == ESTALE || error.errorNumber == ENOENT { continue }
                failure = failure ?? error
            }
        }
        let names = Set(places.map(\.0))
        for name in pins.entries(of: pins.links) where name.hasPrefix(Self.guardPin) && !names.contains(name) {
            unsafe unlink("\(pins.links)/\(name)")
        }
        for (name, link) in state.links where !names.contains(name) {
            close(link)
            state.links[name] = nil
        }
        state.hooks.removeAll { !names.contains($0.name) }
        if let failure { throw failure }
    }

    private func guardSockets(below id: CgroupID, pin name: String, _ state: inout KubepodsState) throws(BPFError) {
        let path = "\(pins.links)/\(name)"
        if state.hooks.contains(where: { $0.name == name }), try BPFLink.pinned(at: path)?.cgroupID() == id.rawValue {
            return
        }
        guard let cgroup = cgroups.open(id) else {
            throw BPFError("open the kubepods cgroup \(id.rawValue)", errorNumber: errno)
        }
        let program = try skeletons.withLock { skeletons throws(BPFError) in try skeletons.program(.egress) }
        let origin = try Self.attach(program, to: cgroup, id: id, pin: path)
        if let link = state.links[name] { close(link) }
        state.links[name] = unsafe bpf_obj_get(path)
        state.hooks.removeAll { $0.name == name }
        state.hooks.append(HookState(name: name, origin: origin))
    }
}
