import Attribution
import CBPFPrograms
import CLibbpf
import Glibc

/// The two objects of the data path that every supported kernel can load, loaded with their constants set.
@safe
struct DatapathSkeletons: ~Copyable {
    /// In the order of attachment at the root of the hierarchy; the first is kubepods'.
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

    private let redirect: UnsafeMutablePointer<nid_redirect_skeleton>
    private let egress: UnsafeMutablePointer<nid_guard_skeleton>

    let tags: CInt
    let settings: CInt
    let listeners: CInt
    let policies: CInt
    let connections: CInt
    let stats: CInt
    /// The queue of events, which is this process's alone.
    let namespaces: CInt

    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        let redirect = unsafe try Self.loadRedirect(configuration)
        let egress: UnsafeMutablePointer<nid_guard_skeleton>
        let namespaces = unsafe bpf_map__fd(redirect.pointee.maps.nid_namespaces)
        do throws(BPFError) {
            unsafe egress = try Self.loadGuard(configuration, namespaces: namespaces)
        } catch {
            unsafe nid_redirect_skeleton__destroy(redirect)
            throw error
        }
        unsafe self.redirect = redirect
        unsafe self.egress = egress
        self.namespaces = namespaces
        self.tags = unsafe bpf_map__fd(redirect.pointee.maps.nid_tags)
        self.settings = unsafe bpf_map__fd(redirect.pointee.maps.nid_settings)
        self.listeners = unsafe bpf_map__fd(redirect.pointee.maps.nid_listeners)
        self.policies = unsafe bpf_map__fd(redirect.pointee.maps.nid_policies)
        self.connections = unsafe bpf_map__fd(redirect.pointee.maps.nid_connections)
        self.stats = unsafe bpf_map__fd(redirect.pointee.maps.nid_stats)
    }

    deinit {
        unsafe nid_redirect_skeleton__destroy(redirect)
        unsafe nid_guard_skeleton__destroy(egress)
    }

    func program(_ hook: Hook) throws(BPFError) -> BPFProgram {
        switch hook {
        case .egress: try unsafe BPFProgram(egress.pointee.progs.nid_egress, of: "guard")
        case .bind4: try unsafe BPFProgram(redirect.pointee.progs.nid_bind4, of: "redirect")
        case .bind6: try unsafe BPFProgram(redirect.pointee.progs.nid_bind6, of: "redirect")
        case .getpeername4: try unsafe BPFProgram(redirect.pointee.progs.nid_getpeername4, of: "redirect")
        case .getpeername6: try unsafe BPFProgram(redirect.pointee.progs.nid_getpeername6, of: "redirect")
        case .connect4: try unsafe BPFProgram(redirect.pointee.progs.nid_connect4, of: "redirect")
        case .connect6: try unsafe BPFProgram(redirect.pointee.progs.nid_connect6, of: "redirect")
        }
    }

    private static func loadRedirect(
        _ configuration: DatapathConfiguration
    ) throws(BPFError) -> UnsafeMutablePointer<nid_redirect_skeleton> {
        let skeleton = unsafe configuration.pinDirectory.maps.withCString { maps in
            var options = unsafe openOptions(pinningMapsBelow: maps)
            return unsafe nid_redirect_skeleton__open_opts(&options)
        }
        guard let skeleton = unsafe skeleton, let constants = unsafe skeleton.pointee.rodata else {
            throw BPFError("open the redirect programs", errorNumber: errno)
        }
        unsafe constants.pointee.nid_endpoints = configuration.kernelTable
        unsafe constants.pointee.nid_first_port = configuration.listenPorts.lowerBound
        unsafe constants.pointee.nid_last_port = configuration.listenPorts.upperBound
        unsafe constants.pointee.nid_has_set_retval =
            libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, nil) == 1
        do throws(BPFError) {
            try checkLoad(unsafe nid_redirect_skeleton__load(skeleton), "redirect")
        } catch {
            unsafe nid_redirect_skeleton__destroy(skeleton)
            throw error
        }
        return unsafe skeleton
    }

    private static func loadGuard(
        _ configuration: DatapathConfiguration, namespaces: CInt
    ) throws(BPFError) -> UnsafeMutablePointer<nid_guard_skeleton> {
        let skeleton = unsafe configuration.pinDirectory.maps.withCString { maps in
            var options = unsafe openOptions(pinningMapsBelow: maps)
            return unsafe nid_guard_skeleton__open_opts(&options)
        }
        guard let skeleton = unsafe skeleton, let constants = unsafe skeleton.pointee.rodata else {
            throw BPFError("open the guard program", errorNumber: errno)
        }
        unsafe constants.pointee.nid_endpoints = configuration.kernelTable
        unsafe constants.pointee.nid_first_port = configuration.listenPorts.lowerBound
        unsafe constants.pointee.nid_last_port = configuration.listenPorts.upperBound
        do throws(BPFError) {
            try check(
                unsafe bpf_map__reuse_fd(skeleton.pointee.maps.nid_namespaces, namespaces),
                "share the queue of namespaces' events")
            try checkLoad(unsafe nid_guard_skeleton__load(skeleton), "guard")
        } catch {
            unsafe nid_guard_skeleton__destroy(skeleton)
            throw error
        }
        return unsafe skeleton
    }
}

/// Options that pin each map by its name below `directory`, and adopt what is pinned there.
@unsafe
func openOptions(pinningMapsBelow directory: UnsafePointer<CChar>) -> bpf_object_open_opts {
    var options = unsafe bpf_object_open_opts()
    unsafe options.sz = MemoryLayout<bpf_object_open_opts>.size
    unsafe options.pin_root_path = directory
    return unsafe options
}

/// Loading fails for reasons that only the verifier's words explain.
func checkLoad(_ result: CInt, _ object: String) throws(BPFError) {
    let words = LibbpfLog.take().split(separator: "\n").suffix(3).joined(separator: "; ")
    if result < 0 {
        throw BPFError(
            "load the \(object) programs", errorNumber: -result,
            hint: result == -EPERM || words.isEmpty ? "" : words
        )
    }
}
