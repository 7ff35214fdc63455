import Attribution
import CBPFPrograms
import CLibbpf
import Glibc

/// The three objects of the data path that every supported kernel can load, loaded with their constants set.
@safe
struct DatapathSkeletons: ~Copyable {
    /// In the order of attachment.
    enum Hook: String, CaseIterable {
        case release, sockops, egress, sendmsg4, sendmsg6, getpeername4, getpeername6, connect4, connect6

        var attachType: bpf_attach_type {
            switch self {
            case .release: BPF_CGROUP_INET_SOCK_RELEASE
            case .sockops: BPF_CGROUP_SOCK_OPS
            case .egress: BPF_CGROUP_INET_EGRESS
            case .sendmsg4: BPF_CGROUP_UDP4_SENDMSG
            case .sendmsg6: BPF_CGROUP_UDP6_SENDMSG
            case .getpeername4: BPF_CGROUP_INET4_GETPEERNAME
            case .getpeername6: BPF_CGROUP_INET6_GETPEERNAME
            case .connect4: BPF_CGROUP_INET4_CONNECT
            case .connect6: BPF_CGROUP_INET6_CONNECT
            }
        }
    }

    private let redirect: UnsafeMutablePointer<nid_redirect_skeleton>
    private let tag: UnsafeMutablePointer<nid_tag_skeleton>
    private let egress: UnsafeMutablePointer<nid_guard_skeleton>

    let tags: CInt
    let handovers: CInt
    let settings: CInt
    let policies: CInt
    let connections: CInt
    let stats: CInt

    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        let redirect = unsafe try Self.loadRedirect(configuration)
        let tag: UnsafeMutablePointer<nid_tag_skeleton>
        do throws(BPFError) {
            unsafe tag = try Self.loadTag(configuration)
        } catch {
            unsafe nid_redirect_skeleton__destroy(redirect)
            throw error
        }
        let egress: UnsafeMutablePointer<nid_guard_skeleton>
        do throws(BPFError) {
            unsafe egress = try Self.loadGuard(configuration)
        } catch {
            unsafe nid_redirect_skeleton__destroy(redirect)
            unsafe nid_tag_skeleton__destroy(tag)
            throw error
        }
        unsafe self.redirect = redirect
        unsafe self.tag = tag
        unsafe self.egress = egress
        self.tags = unsafe bpf_map__fd(tag.pointee.maps.nid_tags)
        self.handovers = unsafe bpf_map__fd(tag.pointee.maps.nid_handovers)
        self.settings = unsafe bpf_map__fd(redirect.pointee.maps.nid_settings)
        self.policies = unsafe bpf_map__fd(redirect.pointee.maps.nid_policies)
        self.connections = unsafe bpf_map__fd(redirect.pointee.maps.nid_connections)
        self.stats = unsafe bpf_map__fd(redirect.pointee.maps.nid_stats)
    }

    deinit {
        unsafe nid_redirect_skeleton__destroy(redirect)
        unsafe nid_tag_skeleton__destroy(tag)
        unsafe nid_guard_skeleton__destroy(egress)
    }

    func program(_ hook: Hook) throws(BPFError) -> BPFProgram {
        switch hook {
        case .release: try unsafe BPFProgram(tag.pointee.progs.nid_release, of: "tag")
        case .sockops: try unsafe BPFProgram(tag.pointee.progs.nid_sockops, of: "tag")
        case .egress: try unsafe BPFProgram(egress.pointee.progs.nid_egress, of: "guard")
        case .sendmsg4: try unsafe BPFProgram(redirect.pointee.progs.nid_sendmsg4, of: "redirect")
        case .sendmsg6: try unsafe BPFProgram(redirect.pointee.progs.nid_sendmsg6, of: "redirect")
        case .getpeername4: try unsafe BPFProgram(redirect.pointee.progs.nid_getpeername4, of: "redirect")
        case .getpeername6: try unsafe BPFProgram(redirect.pointee.progs.nid_getpeername6, of: "redirect")
        case .connect4: try unsafe BPFProgram(redirect.pointee.progs.nid_connect4, of: "redirect")
        case .connect6: try unsafe BPFProgram(redirect.pointee.progs.nid_connect6, of: "redirect")
        }
    }

    /// The filter of the agent's listening sockets.
    var listenFilter: CInt { unsafe bpf_program__fd(tag.pointee.progs.nid_listen) }

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
        unsafe constants.pointee.nid_agent_ip4 = configuration.agentIPv4.bigEndian
        unsafe constants.pointee.nid_agent_ip6 = nid_address(configuration.agentIPv6 ?? .ipv4(configuration.agentIPv4))
        unsafe constants.pointee.nid_agent_port = configuration.agentPort.bigEndian
        unsafe constants.pointee.nid_socket_mark = configuration.socketMark
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
        _ configuration: DatapathConfiguration
    ) throws(BPFError) -> UnsafeMutablePointer<nid_guard_skeleton> {
        let skeleton = unsafe configuration.pinDirectory.maps.withCString { maps in
            var options = unsafe openOptions(pinningMapsBelow: maps)
            return unsafe nid_guard_skeleton__open_opts(&options)
        }
        guard let skeleton = unsafe skeleton, let constants = unsafe skeleton.pointee.rodata else {
            throw BPFError("open the guard program", errorNumber: errno)
        }
        unsafe constants.pointee.nid_endpoints = configuration.kernelTable
        do throws(BPFError) {
            try checkLoad(unsafe nid_guard_skeleton__load(skeleton), "guard")
        } catch {
            unsafe nid_guard_skeleton__destroy(skeleton)
            throw error
        }
        return unsafe skeleton
    }

    private static func loadTag(
        _ configuration: DatapathConfiguration
    ) throws(BPFError) -> UnsafeMutablePointer<nid_tag_skeleton> {
        let skeleton = unsafe configuration.pinDirectory.maps.withCString { maps in
            var options = unsafe openOptions(pinningMapsBelow: maps)
            return unsafe nid_tag_skeleton__open_opts(&options)
        }
        guard let skeleton = unsafe skeleton, let constants = unsafe skeleton.pointee.rodata else {
            throw BPFError("open the tag programs", errorNumber: errno)
        }
        unsafe constants.pointee.nid_listen_port = UInt32(configuration.agentPort)
        do throws(BPFError) {
            try checkLoad(unsafe nid_tag_skeleton__load(skeleton), "tag")
        } catch {
            unsafe nid_tag_skeleton__destroy(skeleton)
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
