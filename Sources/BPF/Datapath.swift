package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Netlink
import Synchronization

/// What the kernel programs need to know. Constant for the life of the loaded programs, but for the kubepods root.
package struct DatapathConfiguration: Sendable {
    package var pinDirectory: PinDirectory
    /// The addresses whose port 80 is redirected and whose other ports are refused, but for DNS and NTP.
    package var endpoints: [OriginalDestination.Address]
    /// Further TCP ports of ``endpoints`` that are redirected.
    package var furtherPorts: [UInt16] = []
    /// Endpoints that are refused altogether. At most 64 of all kinds.
    package var protectedEndpoints: [ProtectedEndpoint]
    /// Whether an installation without ``HostGuard`` is one.
    package var requiresHostGuard: Bool
    /// `nil`: by BPF where the kernel has it, else by nftables.
    package var hostGuardMechanism: HostGuard.Mechanism?
    /// Where the agent listens, in host order.
    package var agentIPv4: UInt32
    /// `nil`: callers that named an IPv6 address are led to `agentIPv4` through its mapped form, which a socket with
    /// `IPV6_V6ONLY` refuses (`ENETUNREACH`).
    package var agentIPv6: OriginalDestination.Address?
    package var agentPort: UInt16
    /// `SO_MARK` for redirected sockets; 0: none.
    package var socketMark: UInt32

    package init(
        pinDirectory: PinDirectory,
        endpoints: [OriginalDestination.Address],
        protectedEndpoints: [ProtectedEndpoint] = [],
        requiresHostGuard: Bool = false,
        hostGuardMechanism: HostGuard.Mechanism? = nil,
        agentIPv4: UInt32,
        agentIPv6: OriginalDestination.Address? = nil,
        agentPort: UInt16,
        socketMark: UInt32 = 0
    ) {
        self.pinDirectory = pinDirectory
        self.endpoints = endpoints
        self.protectedEndpoints = protectedEndpoints
        self.requiresHostGuard = requiresHostGuard
        self.hostGuardMechanism = hostGuardMechanism
        self.agentIPv4 = agentIPv4
        self.agentIPv6 = agentIPv6
        self.agentPort = agentPort
        self.socketMark = socketMark
    }
}

/// The kubepods cgroup as the programs compare it.
package struct KubepodsCgroup: Sendable, Equatable {
    package var id: CgroupID
    /// The kernel's: see ``CgroupFileSystem/locate(_:)``.
    package var level: Int
    /// The cgroups below it that hold pods and are none, in the order of ``KubepodsRoot/groupPaths``: the two QoS
    /// classes, the partition `system`, and its two; `nil` where there is none.
    package var groups: [CgroupID?]
    /// The kubepods trees of others, whose processes reach no protected address. At most ``othersMax`` count.
    package var others: [OtherTree]

    /// How many trees of others the programs can know.
    package static var othersMax: Int { Int(NID_OTHER_TREES) }

    /// The kubepods cgroup of another kubelet, or of this one before its cgroup driver was changed.
    package struct OtherTree: Sendable, Hashable {
        package var id: CgroupID
        /// The kernel's.
        package var level: Int

        package init(id: CgroupID, level: Int) {
            self.id = id
            self.level = level
        }
    }

    package init(id: CgroupID, level: Int, groups: [CgroupID?] = [], others: [OtherTree] = []) {
        self.id = id
        self.level = level
        self.groups = groups
        self.others = others
    }
}

/// What became of one hook at installation.
package struct HookState: Sendable, Equatable {
    package enum Origin: String, Sendable {
        /// Newly attached and pinned.
        case attached
        /// A pinned link of an earlier agent, its program replaced without a gap.
        case adopted
        /// The pinned link's cgroup was gone; attached anew.
        case reattached
    }

    package let name: String
    package let origin: Origin
}

/// The kernel side: loaded, attached to the root of the hierarchy, and pinned.
///
/// Nothing here detaches: the redirect outlives the agent, so that a pod whose agent is away is refused and never
/// reaches the machine's own metadata server. Only ``PinDirectory/remove()`` ends it.
package final class Datapath: Sendable {
    /// What ``guardHost()`` has done.
    struct GuardState {
        var guarding: HostGuard
        var hooks: [HookState] = []
        /// Counts for the host guard where its programs do not.
        var nftables: Nftables?
        var uplinks: UplinkGuard?
    }

    let configuration: DatapathConfiguration
    private let wasInstalled: Bool
    private let cgroupHooks: [HookState]
    let guardState: Mutex<GuardState>
    private let skeletons: Mutex<DatapathSkeletons>
    private let tags: CInt
    private let handovers: CInt
    private let settings: CInt
    let policies: CInt
    let connections: CInt
    private let stats: CInt
    let pins: PinDirectory
    /// The root of the cgroup v2 hierarchy.
    let root: FileDescriptor

    /// Every hook, in the order in which they were attached.
    package var hooks: [HookState] { cgroupHooks + guardState.withLock(\.hooks) }
    /// Whether frames that pass no socket hook are held back as well.
    package var hostGuard: HostGuard { guardState.withLock(\.guarding) }

    /// Loads the programs and attaches them, or takes over the pinned links of an earlier agent.
    ///
    /// The connect hooks come last: whatever they redirect, the others can already hand over. They do nothing before
    /// ``setKubepods(_:)``, and the host guard is ``guardHost()``'s, after it.
    package init(_ configuration: DatapathConfiguration, cgroups: CgroupFileSystem) throws(BPFError) {
        LibbpfLog.capture()
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
            self.tags = skeletons.tags
            self.handovers = skeletons.handovers
            self.settings = skeletons.settings
            self.policies = skeletons.policies
            self.connections = skeletons.connections
            self.stats = skeletons.stats
            self.pins = configuration.pinDirectory
            self.skeletons = Mutex(skeletons)
        } catch {
            Self.giveUp(configuration, wasInstalled)
            throw error
        }
    }

    /// Half an installation is none; but an earlier agent's hooks stay, whatever becomes of this one.
    private static func giveUp(_ configuration: DatapathConfiguration, _ wasInstalled: Bool) {
        guard !wasInstalled else { return }
        _ = try? configuration.pinDirectory.remove()
        _ = try? HostGuard.removeTable()
    }

    /// Holds back frames that pass no socket hook as well, in the network namespace of the calling thread, which must be
    /// the node's.
    ///
    /// Last of all: it drops whatever is not redirected, and a connection that is begun before the redirect works would
    /// wait for an answer to its first packet in vain.
    ///
    /// - Throws: Why there cannot be such a guard, if the configuration requires one. The hooks stay: what they refuse
    ///   is refused.
    package func guardHost() throws(BPFError) {
        do throws(BPFError) {
            let installed = try HostGuard.installFirst(configuration)
            guardState.withLock { state in
                state.guarding = .active(installed.mechanism)
                state.hooks = installed.hooks
                state.nftables = installed.nftables
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
        for hook in DatapathSkeletons.Hook.allCases {
            let origin = try Self.attach(
                skeletons.program(hook), to: root, id: rootID, pin: "\(pins.links)/\(hook)"
            )
            hooks.append(HookState(name: "\(hook)", origin: origin))
        }
        return hooks
    }

    private static func attach(
        _ program: consuming BPFProgram, to root: borrowing FileDescriptor, id: CgroupID, pin: String
    ) throws(BPFError) -> HookState.Origin {
        var origin = HookState.Origin.attached
        if let link = try BPFLink.pinned(at: pin) {
            if try link.cgroupID() == id.rawValue, try link.replaceProgram(with: program) {
                return .adopted
            }
            origin = .reattached
            guard unsafe unlink(pin) == 0 else {
                throw BPFError("remove the severed link at \(pin)", errorNumber: errno)
            }
        }
        try BPFLink(attaching: program, toCgroup: root).pin(at: pin)
        return origin
    }

    /// Tells the programs which tasks are pods'. Until this is called for the first time, nobody is.
    package func setKubepods(_ kubepods: KubepodsCgroup) throws(BPFError) {
        var key: UInt32 = 0
        var value = nid_settings()
        value.kubepods_id = kubepods.id.rawValue
        value.kubepods_level = UInt32(kubepods.level)
        unsafe withUnsafeMutableBytes(of: &value.groups) { buffer in
            let groups = unsafe buffer.bindMemory(to: UInt64.self)
            for (index, group) in kubepods.groups.prefix(groups.count).enumerated() {
                unsafe groups[index] = group?.rawValue ?? 0
            }
        }
        unsafe withUnsafeMutableBytes(of: &value.others) { buffer in
            let others = unsafe buffer.bindMemory(to: nid_tree.self)
            for (index, other) in kubepods.others.prefix(others.count).enumerated() {
                unsafe others[index] = nid_tree(id: other.id.rawValue, level: UInt32(other.level), reserved: 0)
            }
        }
        try check(
            unsafe bpf_map_update_elem(settings, &key, &value, UInt64(BPF_ANY)),
            "tell the programs the kubepods cgroup"
        )
    }

    /// Sets what becomes of a pod's connections, from the next one on.
    ///
    /// - Parameters:
    ///   - policy: What is to become of them.
    ///   - pod: The pod-level cgroup. Until this is called for it, the pod is attributed: it may miss the machine's own
    ///     metadata server for a moment, but never reach it for one.
    /// - Throws: What the kernel said, when the table is full.
    package func setPolicy(_ policy: PodPolicy, ofPod pod: CgroupID) throws(BPFError) {
        var key = pod.rawValue
        guard policy != .attribute else {
            unsafe bpf_map_delete_elem(policies, &key)
            return
        }
        var value = policy.rawKernelValue
        try check(unsafe bpf_map_update_elem(policies, &key, &value, UInt64(BPF_ANY)), "set a pod's policy")
    }

    /// Forgets what is kept for a pod whose pod-level cgroup is gone.
    package func forget(pod: CgroupID) {
        var key = pod.rawValue
        unsafe bpf_map_delete_elem(policies, &key)
        unsafe bpf_map_delete_elem(connections, &key)
    }

    /// How many connections a pod has: sent a SYN for, and not yet closed by the agent.
    package func connections(ofPod pod: CgroupID) -> Int {
        Int(traffic(ofPod: pod)?.open ?? 0)
    }

    /// What the kernel counted of a pod's connections; `nil`: it has not connected yet.
    package func traffic(ofPod pod: CgroupID) -> PodTraffic? {
        var key = pod.rawValue
        var value = nid_pod_connections()
        return unsafe bpf_map_lookup_elem(connections, &key, &value) == 0 ? PodTraffic(value) : nil
    }

    /// Forgets how many connections pods have. For an agent that starts with a listening socket of its own making: what
    /// was waiting on an earlier one was dropped with it, uncounted.
    package func forgetConnections() {
        var key: UInt64 = 0
        for _ in 0..<NID_PODS_MAX {
            guard unsafe bpf_map_get_next_key(connections, nil, &key) == 0 else { return }
            unsafe bpf_map_delete_elem(connections, &key)
        }
    }

    /// Marks a listening socket as the agent's: only connections accepted from it can receive a tag, and none reaches it
    /// from a socket that is not this node's.
    package func markListener(_ descriptor: CInt) throws(BPFError) {
        var key = descriptor
        var value = nid_tag()
        value.state = UInt8(NID_TAG_UNCLAIMED.rawValue)
        try check(
            unsafe bpf_map_update_elem(tags, &key, &value, UInt64(BPF_ANY)),
            "mark the listening socket as the agent's"
        )
        var filter = skeletons.withLock { $0.listenFilter }
        let size = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_BPF, &filter, size) == 0 else {
            throw BPFError("filter what reaches the listening socket", errorNumber: errno)
        }
    }

    /// Who opened the accepted connection behind `descriptor`; `nil` if it did not come through the redirect.
    ///
    /// One system call, whatever the number of pods and connections.
    package func tag(ofAcceptedSocket descriptor: CInt) -> CallerTag? {
        var key = descriptor
        var value = nid_tag()
        guard unsafe bpf_map_lookup_elem(tags, &key, &value) == 0 else { return nil }
        return CallerTag(value)
    }

    /// The programs' counters.
    package func counters() throws(BPFError) -> DatapathCounters {
        try DatapathCounters(
            readingMap: stats, droppedByTable: guardState.withLock(\.nftables)?.droppedByHostGuard ?? [:])
    }

    /// How many tags wait for their accepting side at this moment. Walks the table: for tests and the debug dump.
    package func pendingHandovers() -> Int {
        MapOccupancy.count(handovers, key: nid_key())
    }

    /// How full the tables are. Walks them: for metrics.
    package func occupancy() -> [MapOccupancy] {
        [
            MapOccupancy(name: "handovers", descriptor: handovers, key: nid_key()),
            MapOccupancy(name: "policies", descriptor: policies, key: UInt64(0)),
            MapOccupancy(name: "connections", descriptor: connections, key: UInt64(0)),
        ]
    }

    /// The hooks whose pin or table is gone: somebody detached them, and pods may reach the machine's own metadata server.
    package var missingHooks: [String] {
        hooks.map(\.name).filter { name in
            guard name != HostGuard.tableHook else { return (try? HostGuard.hasTable()) == false }
            return unsafe access("\(pins.links)/\(name)", F_OK) != 0
        }
    }
}
