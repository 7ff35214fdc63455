import Attribution
import CLibbpf
import Glibc
import Synchronization

/// Takes the hooks back from a successor that ended before it served.
///
/// A successor attaches its programs before it takes over. They stay when it ends, and report to its queues, which no process
/// reads. This agent would learn of no connection that waits for a listener.
extension Datapath {
    /// The hooks that run another process's program. A hook whose pin is gone is not among them.
    ///
    /// Some thirty system calls.
    package var foreignHooks: [String] {
        let own = ownPrograms
        let names = DatapathSkeletons.Hook.ofRoot.map(\.rawValue) + kubepodsState.withLock { $0.hooks.map(\.name) }
        return names.filter { name in
            guard let id = try? BPFLink.pinned(at: "\(pins.links)/\(name)")?.programID() else { return false }
            return !own.contains(id)
        }
    }

    private var ownPrograms: Set<UInt32> {
        skeletons.withLock { skeletons in
            var ids: Set<UInt32> = []
            for hook in DatapathSkeletons.Hook.allCases {
                if let id = try? skeletons.program(hook).id() { ids.insert(id) }
            }
            return ids
        }
    }

    /// Has every hook run this agent's programs again, with this agent's settings. Loads nothing: an agent that serves may not.
    ///
    /// ``refreshUplinks(afterLoss:)`` does the same for interfaces, the next time, and ``HeldPins/putBack()`` for the guard in
    /// netfilter, whose links cannot change their program.
    ///
    /// - Parameter isRepeated: Whether this was tried before, and failed with some of it done.
    /// - Throws: What the kernel said; hooks that were not reached run the other programs.
    package func reclaim(isRepeated: Bool = false) throws(BPFError) {
        let foreign = foreignHooks
        guard let rootID = cgroups.id(of: [UInt8]("/".utf8)) else {
            throw BPFError("read the cgroup ID of \(cgroups.mountPoint)", errorNumber: errno)
        }
        for hook in DatapathSkeletons.Hook.ofRoot where foreign.contains(hook.rawValue) {
            let program = try skeletons.withLock { skeletons throws(BPFError) in try skeletons.program(hook) }
            _ = try Self.attach(program, to: root, id: rootID, pin: "\(pins.links)/\(hook.rawValue)")
        }
        try reclaimKubepods(Set(foreign))
        // Where nothing was foreign, the successor had not come to it.
        guard !foreign.isEmpty || isRepeated else { return }
        guardState.withLock { state in
            state.uplinks?.forgetLinks()
            state.watch?.demand()
        }
        try guardState.withLock(\.nftables)?.replaceHostGuard(configuration)
    }
}
