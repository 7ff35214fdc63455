import CBPFPrograms
import CLibbpf
import Glibc
import Netlink

/// The abilities of this kernel, found out by trying. Nothing is attached, and nothing stays.
package struct KernelFeatures: Sendable {
    package enum Presence: String, Sendable {
        case present
        case absent
        /// The trial was not possible, usually for want of rights.
        case unknown
    }

    /// The release as `uname -r` prints it.
    package var release: String
    /// `/sys/kernel/btf/vmlinux`.
    package var btf: Presence
    /// Programs that this machine can load, by what they are for, in the order of docs/operate/kernels.md.
    package var programTypes: [(name: String, presence: Presence)]
    /// `bpf_set_retval` for socket address programs (5.18).
    package var setReturnValue: Presence
    /// The cgroup of a socket's creator, which nothing shares its place with (5.15).
    package var socketCgroup: Presence
    /// BPF netfilter links (6.4).
    package var netfilterLinks: Presence
    package var nftables: Presence
    /// Programs at what interfaces send, as links (tcx, 6.6).
    package var interfaceLinks: Presence
    /// Programs at tracepoints with types (`tp_btf`), which bring events of cgroups and executions.
    package var typedTracepoints: Presence
    /// Handles of namespaces (nsfs, 6.18), by which a namespace is opened without a process in it.
    package var namespaceHandles: Presence

    /// Tries everything. Needs the rights to load programs.
    package static func probe() -> KernelFeatures {
        LibbpfLog.capture()
        defer { _ = LibbpfLog.take() }
        let btf: Presence = unsafe access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? .present : .absent
        let types: [(String, bpf_prog_type)] = [
            ("cgroup/connect, bind, getpeername", BPF_PROG_TYPE_CGROUP_SOCK_ADDR),
            ("cgroup_skb/egress", BPF_PROG_TYPE_CGROUP_SKB),
        ]
        return KernelFeatures(
            release: release(),
            btf: btf,
            programTypes: types.map { ($0, Presence(libbpf_probe_bpf_prog_type($1, nil))) },
            setReturnValue: Presence(
                libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, nil)),
            socketCgroup: Presence(unsafe nid_kernel_has_member("sock_cgroup_data", "cgroup")),
            netfilterLinks: probeNetfilter(),
            nftables: probeNftables(),
            interfaceLinks: probeInterfaceLinks(),
            typedTracepoints: probeTracepoint(),
            namespaceHandles: probeNamespaceHandles()
        )
    }

    /// Major and minor version; `nil` if the release does not begin with them.
    package var version: (major: Int, minor: Int)? {
        let parts = release.split(whereSeparator: { !$0.isNumber })
        guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1]) else { return nil }
        return (major, minor)
    }

    private static func release() -> String {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return "unknown" }
        return unsafe withUnsafeBytes(of: &names.release) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// libbpf's own probe is older than the program type: `BPF_PROG_TYPE_NETFILTER`, `BPF_NETFILTER`.
    private static func probeNetfilter() -> Presence {
        load(bpf_prog_type(32), attachType: bpf_attach_type(45))
    }

    /// Asks what is attached to the loopback interface: a kernel without this kind of link does not know the place.
    private static func probeInterfaceLinks() -> Presence {
        var count: UInt32 = 0
        let result = unsafe bpf_prog_query(1, bpf_attach_type(47), 0, nil, nil, &count)
        guard result < 0 else { return .present }
        return errno == EPERM ? .unknown : .absent
    }

    /// The one tracepoint that the agent needs, because libbpf's own probe knows the verifier's words of one release.
    private static func probeTracepoint() -> Presence {
        let function = unsafe libbpf_find_vmlinux_btf_id("cgroup_mkdir", BPF_TRACE_RAW_TP)
        guard function > 0 else { return .absent }
        return load(BPF_PROG_TYPE_TRACING, attachType: BPF_TRACE_RAW_TP, function: UInt32(function), result: 0)
    }

    /// Opens the network namespace of the calling thread by its handle.
    private static func probeNamespaceHandles() -> Presence {
        guard let own = try? NetworkNamespaceID.current() else { return .absent }
        let descriptor = nid_open_namespace(own.cookie, own.inode)
        guard descriptor < 0 else {
            close(descriptor)
            return .present
        }
        return errno == EPERM ? .unknown : .absent
    }

    /// Loads a program that does nothing but return: `r0 = result; exit`.
    private static func load(
        _ type: bpf_prog_type, attachType: bpf_attach_type, function: UInt32 = 0, result: Int32 = 1
    ) -> Presence {
        var instructions = [bpf_insn(), bpf_insn()]
        instructions[0].code = UInt8(BPF_ALU64 | BPF_MOV | BPF_K)
        instructions[0].imm = result
        instructions[1].code = UInt8(BPF_JMP | BPF_EXIT)
        var options = unsafe bpf_prog_load_opts()
        unsafe options.sz = MemoryLayout<bpf_prog_load_opts>.size
        unsafe options.expected_attach_type = attachType
        unsafe options.attach_btf_id = function
        let descriptor = unsafe bpf_prog_load(
            type, "nid_probe", "Dual BSD/GPL", instructions, instructions.count, &options)
        guard descriptor < 0 else {
            close(descriptor)
            return .present
        }
        return descriptor == -EPERM ? .unknown : .absent
    }

    private static func probeNftables() -> Presence {
        do throws(NetlinkError) {
            try Nftables().probe()
            return .present
        } catch {
            return error.errorNumber == EPERM ? .unknown : .absent
        }
    }
}

extension KernelFeatures.Presence {
    /// The answer of a probe in C, such as libbpf's: 1, 0, or an error.
    init(_ probed: CInt) {
        self = probed == 1 ? .present : probed == 0 ? .absent : .unknown
    }
}
