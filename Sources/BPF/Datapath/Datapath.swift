package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Netlink
import Synchronization

/// The outcome of one hook's installation.
package struct HookState: Sendable, Equatable {
    package enum Origin: String, Sendable {
        /// A new link, attached and pinned.
        case attached
        /// A pinned link of an earlier agent, its program replaced without a gap.
        case adopted
        /// The pinned link's cgroup was gone; attached again.
        case reattached
    }

    package let name: String
    package let origin: Origin
}

/// The kernel side: loaded, attached to the root of the hierarchy and to kubepods, and pinned.
///
/// Nothing here detaches: the redirect outlives the agent, so that a pod whose agent is away is refused and never
/// reaches the machine's own metadata server. Only ``PinDirectory/remove()`` ends it.
package final class Datapath: Sendable {
    /// The result of ``guardHost()``.
    struct GuardState {
        var guarding: HostGuard
        var hooks: [HookState] = []
        /// Counts for the host guard where its programs do not.
        var nftables: Nftables?
        var ownAddresses: OwnAddressGuard?
        var uplinks: UplinkGuard?
        var watch: NetworkWatch?
    }

    let configuration: DatapathConfiguration
    private let wasInstalled: Bool
    private let cgroupHooks: [HookState]
    let guardState: Mutex<GuardState>
    let skeletons: Mutex<DatapathSkeletons>
    /// The settings that the programs have, and the cgroups to which the guard of pods' sockets is attached.
    let kubepodsState: Mutex<KubepodsState>
    let maps: DatapathMaps
    let pins: PinDirectory
    /// The root of the cgroup v2 hierarchy.
    let root: FileDescriptor
    let cgroups: CgroupFileSystem

    /// Every hook, in the order in which they were attached.
    package var hooks: [HookState] {
        cgroupHooks + kubepodsState.withLock(\.hooks) + guardState.withLock(\.hooks)
    }
    /// Whether frames that pass no socket hook are dropped as well.
    package var hostGuard: HostGuard { guardState.withLock(\.guarding) }

    /// Loads the programs and attaches them, or takes over the pinned links of an earlier agent.
    ///
    /// The connect hooks come last: what they redirect, the others can already recognize. They do nothing before
    /// ``setKubepods(_:)``, which attaches the guard of pods' sockets; the host guard is ``guardHost()``'s, after it.
    package init(_ configuration: DatapathConfiguration, cgroups: CgroupFileSystem) throws(BPFError) {
        self.configuration = configuration
        wasInstalled = configuration.pinDirectory.hasLinks
        guardState = Mutex(GuardState(guarding: .unavailable(BPFError("guard the host: not yet", errorNumber: 0))))
        try configuration.checkEndpoints()
        try configuration.pinDirectory.prepare()
        do throws(BPFError) {
            let skeletons = try DatapathSkeletons(configuration)
            let root = unsafe try FileDescriptor(
                owning: open(cgroups.mountPoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open \(cgroups.mountPoint)"
            )
            self.cgroupHooks = try Self.attach(
                skeletons, to: root, of: cgroups, pins: configuration.pinDirectory)
            self.root = root
            self.cgroups = cgroups
            self.maps = skeletons.maps
            // The settings of an earlier agent stay in force until this agent has its own.
            self.kubepodsState = Mutex(KubepodsState(value: skeletons.maps.settings[0] ?? nid_settings()))
            self.pins = configuration.pinDirectory
            self.skeletons = Mutex(skeletons)
        } catch {
            Self.giveUp(configuration, wasInstalled)
            throw error
        }
    }

    /// Removes half an installation; but an earlier agent's hooks stay, whatever becomes of this one.
    private static func giveUp(_ configuration: DatapathConfiguration, _ wasInstalled: Bool) {
        guard !wasInstalled else { return }
        _ = try? configuration.pinDirectory.remove()
        _ = try? HostGuard.removeTable()
    }

    /// Drops frames that pass no socket hook as well, in the network namespace of the calling thread, which must be
    /// the node's.
    ///
    /// The last step: it drops whatever is not redirected. A connection that is begun before the redirect works would
    /// wait in vain for an answer to its first packet.
    ///
    /// - Throws: Why there cannot be such a guard, if the configuration requires one. The hooks stay: what they refuse
    ///   is refused.
    package func guardHost() throws(BPFError) {
        // Before the first list: what changes after it is reported.
        let watch = NetworkWatch()
        guardState.withLock { $0.watch = watch }
        do throws(BPFError) {
            let installed = try HostGuard.installFirst(configuration)
            guardState.withLock { state in
                state.guarding = .active(installed.mechanism)
                state.hooks = installed.hooks
                state.nftables = installed.nftables
                state.ownAddresses = installed.ownAddresses
            }
        } catch {
            guard configuration.requiresHostGuard else {
                guardState.withLock { $0.guarding = .unavailable(error) }
                return
            }
            throw error
        }
    }

    private static func attach(
        _ skeletons: borrowing DatapathSkeletons, to root: borrowing FileDescriptor, of cgroups: CgroupFileSystem,
        pins: PinDirectory
    ) throws(BPFError) -> [HookState] {
        guard let rootID = cgroups.id(of: [UInt8]("/".utf8)) else {
            throw BPFError("read the cgroup ID of \(cgroups.mountPoint)", errorNumber: errno)
        }
        var hooks: [HookState] = []
        for hook in DatapathSkeletons.Hook.ofRoot {
            let origin = try attach(skeletons.program(hook), to: root, id: rootID, pin: "\(pins.links)/\(hook)")
            hooks.append(HookState(name: "\(hook)", origin: origin))
        }
        // An earlier version's, which the hooks above replace.
        for name in ["release", "sockops", "sendmsg4", "sendmsg6"] { unsafe unlink("\(pins.links)/\(name)") }
        return hooks
    }

    /// Attaches `program`, or has it take the place of the one that is pinned at `pin`.
    static func attach(
        _ program: consuming BPFProgram, to cgroup: borrowing FileDescriptor, id: CgroupID, pin: String
    ) throws(BPFError) -> HookState.Origin {
        var origin = HookState.Origin.attached
        if let link = try BPFLink.pinned(at: pin) {
            if try link.cgroupID() == id.rawValue, try link.replaceProgram(with: program) {
                return .adopted
            }
            origin = .reattached
        }
        try BPFLink(attaching: program, toCgroup: cgroup).pin(inPlaceOf: pin)
        return origin
    }

    /// Sets what becomes of a pod's connections, from the next one on.
    ///
    /// - Parameters:
    ///   - policy: What is to become of them.
    ///   - pod: The pod-level cgroup. Until this is called for it, the pod is attributed: it may miss the machine's own
    ///     metadata server for a moment, but never reach it for one.
    /// - Throws: What the kernel said, when the table is full.
    package func setPolicy(_ policy: PodPolicy, ofPod pod: CgroupID) throws(BPFError) {
        guard policy != .attribute else { return maps.policies.remove(pod.rawValue) }
        try maps.policies.set(policy.rawKernelValue, for: pod.rawValue, "set a pod's policy")
    }

    /// Forgets what is kept for a pod whose pod-level cgroup is gone.
    package func forget(pod: CgroupID) {
        maps.policies.remove(pod.rawValue)
        maps.connections.remove(pod.rawValue)
    }

    /// The kernel's counts of a pod's connections; `nil`: the pod has not connected yet.
    package func traffic(ofPod pod: CgroupID) -> PodTraffic? {
        maps.connections[pod.rawValue].map(PodTraffic.init)
    }

    /// Marks a listening socket as the agent's: only connections accepted from it can receive a tag.
    package func markListener(_ descriptor: CInt) throws(BPFError) {
        var value = nid_tag()
        value.state = UInt8(NID_TAG_UNCLAIMED.rawValue)
        try maps.tags.set(value, for: descriptor, "mark the listening socket as the agent's")
    }

    /// The caller that opened the accepted connection behind `descriptor`; `nil` if it was not redirected.
    ///
    /// The kernel looks when a program asks for the peer's address, which accept4(2) does: see `bpf/lib/takeover.h`.
    /// One system call, whatever the number of pods and connections.
    package func tag(ofAcceptedSocket descriptor: CInt) -> CallerTag? {
        maps.tags[descriptor].flatMap { CallerTag($0) }
    }

    /// The programs' counters.
    package func counters() throws(BPFError) -> DatapathCounters {
        try DatapathCounters(
            reading: maps.counters, droppedByTable: guardState.withLock(\.nftables)?.droppedByHostGuard ?? [:])
    }

    /// How full the tables are. Walks them: for metrics.
    package func occupancy() -> [MapOccupancy] {
        [
            maps.listeners.occupancy(as: "listeners"), maps.policies.occupancy(as: "policies"),
            maps.connections.occupancy(as: "connections"),
        ]
    }

    /// Whether the host guard's table is gone. Asked through the socket that put it there: a serving agent may open no other.
    package var isTableMissing: Bool {
        guard let nftables = guardState.withLock(\.nftables) else { return false }
        return (try? nftables.hasTable(NftablesGuard.tableName)) == false
    }

    /// Puts the host guard's table back if another process has removed it, such as a firewall that flushes all rules.
    ///
    /// - Returns: Whether it was gone.
    /// - Throws: What the kernel said.
    package func restoreTable() throws(BPFError) -> Bool {
        guard isTableMissing, let nftables = guardState.withLock(\.nftables) else { return false }
        try nftables.replaceHostGuard(configuration)
        return true
    }

    /// The hooks whose pin or table is gone: another process detached them, and pods may reach the machine's own
    /// metadata server.
    package var missingHooks: [String] {
        hooks.map(\.name).filter { name in
            guard name != HostGuard.tableHook else { return isTableMissing }
            return unsafe access("\(pins.links)/\(name)", F_OK) != 0
        }
    }
}
