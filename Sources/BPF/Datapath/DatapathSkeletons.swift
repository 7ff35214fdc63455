import Attribution
import CBPFPrograms
import CLibbpf
import Glibc

/// The two objects of the data path that every supported kernel can load, loaded with their constants set.
@safe
struct DatapathSkeletons: ~Copyable {
    /// The hooks in the order of attachment at the root of the hierarchy; the first is kubepods'.
    enum Hook: String, CaseIterable {
        case egress, bind4, bind6, getpeername4, getpeername6, connect4, connect6

        static let ofRoot = allCases.filter { $0 != .egress }

        var attachType: bpf_attach_type {
            switch self {
            case .egress: BPF_CGROUP_INET_EGRESS
            case .bind4: BPF_CGROUP_INET4_BIND
            case .bind6: BPF_CGROUP_INET6_BIND
            case .getpeername4: BPF_CGROUP_INET4_GETPEERNAME
            case .getpeername6: BPF_CGROUP_INET6_GETPEERNAME
            case .connect4: BPF_CGROUP_INET4_CONNECT
            case .connect6: BPF_CGROUP_INET6_CONNECT
            }
        }
    }

    private let redirect: Skeleton<nid_redirect_skeleton>
    private let egress: Skeleton<nid_guard_skeleton>
    let maps: DatapathMaps
    /// The queue of events, which is this process's alone.
    let namespaces: CInt

    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        let redirect = try unsafe Self.redirect(configuration)
        let maps = try unsafe redirect.withLayout { layout throws(BPFError) in try unsafe DatapathMaps(layout) }
        let namespaces = try unsafe redirect.withLayout { unsafe bpf_map__fd($0.pointee.maps.nid_namespaces) }
        let egress = try unsafe Self.egress(configuration, namespaces: namespaces)
        self.maps = maps
        self.namespaces = namespaces
        unsafe self.redirect = redirect
        unsafe self.egress = egress
    }

    func program(_ hook: Hook) throws(BPFError) -> BPFProgram {
        let pointer =
            switch hook {
            case .egress: try unsafe egress.withLayout { unsafe $0.pointee.progs.nid_egress }
            case .bind4: try unsafe redirect.withLayout { unsafe $0.pointee.progs.nid_bind4 }
            case .bind6: try unsafe redirect.withLayout { unsafe $0.pointee.progs.nid_bind6 }
            case .getpeername4: try unsafe redirect.withLayout { unsafe $0.pointee.progs.nid_getpeername4 }
            case .getpeername6: try unsafe redirect.withLayout { unsafe $0.pointee.progs.nid_getpeername6 }
            case .connect4: try unsafe redirect.withLayout { unsafe $0.pointee.progs.nid_connect4 }
            case .connect6: try unsafe redirect.withLayout { unsafe $0.pointee.progs.nid_connect6 }
            }
        return try unsafe BPFProgram(pointer, of: hook == .egress ? "guard" : "redirect")
    }

    private static func redirect(
        _ configuration: DatapathConfiguration
    ) throws(BPFError) -> Skeleton<nid_redirect_skeleton> {
        try unsafe Skeleton(
            "redirect",
            .init(
                open: nid_redirect_skeleton__open_opts, load: nid_redirect_skeleton__load,
                destroy: nid_redirect_skeleton__destroy),
            pins: configuration.pinDirectory
        ) { layout throws(BPFError) in
            let constants = try unsafe constants(layout.pointee.rodata, of: "redirect")
            unsafe constants.pointee.nid_endpoints = configuration.kernelTable
            unsafe constants.pointee.nid_first_port = configuration.listenPorts.lowerBound
            unsafe constants.pointee.nid_last_port = configuration.listenPorts.upperBound
            unsafe constants.pointee.nid_has_set_retval =
                libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, nil) == 1
        }
    }

    private static func egress(
        _ configuration: DatapathConfiguration, namespaces: CInt
    ) throws(BPFError) -> Skeleton<nid_guard_skeleton> {
        try unsafe Skeleton(
            "guard",
            .init(
                open: nid_guard_skeleton__open_opts, load: nid_guard_skeleton__load,
                destroy: nid_guard_skeleton__destroy),
            pins: configuration.pinDirectory
        ) { layout throws(BPFError) in
            let constants = try unsafe constants(layout.pointee.rodata, of: "guard")
            unsafe constants.pointee.nid_endpoints = configuration.kernelTable
            unsafe constants.pointee.nid_first_port = configuration.listenPorts.lowerBound
            unsafe constants.pointee.nid_last_port = configuration.listenPorts.upperBound
            try check(
                unsafe bpf_map__reuse_fd(layout.pointee.maps.nid_namespaces, namespaces),
                "share the queue of namespaces' events")
        }
    }
}

/// The kernel tables that the agent reads and writes. What each holds, and who writes it, is in `bpf/lib/maps.h`.
struct DatapathMaps: Sendable {
    /// The tags by descriptor of a socket.
    let tags: BPFMap<CInt, nid_tag>
    /// The settings: one entry, of key 0.
    let settings: BPFMap<UInt32, nid_settings>
    /// The listeners by cookie of a network namespace.
    let listeners: BPFMap<UInt64, nid_listener>
    /// The policies by ID of a pod-level cgroup. The next map has the same keys.
    let policies: BPFMap<UInt64, UInt32>
    let connections: BPFMap<UInt64, nid_pod_connections>
    let counters: PerProcessorMap<UInt32>

    @unsafe
    fileprivate init(_ layout: UnsafeMutablePointer<nid_redirect_skeleton>) throws(BPFError) {
        tags = try unsafe BPFMap(layout.pointee.maps.nid_tags)
        settings = try unsafe BPFMap(layout.pointee.maps.nid_settings)
        listeners = try unsafe BPFMap(layout.pointee.maps.nid_listeners)
        policies = try unsafe BPFMap(layout.pointee.maps.nid_policies)
        connections = try unsafe BPFMap(layout.pointee.maps.nid_connections)
        counters = try unsafe PerProcessorMap(layout.pointee.maps.nid_stats)
    }
}
