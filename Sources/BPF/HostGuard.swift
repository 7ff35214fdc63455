import CBPFPrograms
import CLibbpf
import Glibc

/// The guard in the network namespace of the calling thread, which must be the node's: drops packets to protected
/// endpoints that arrive from an interface.
///
/// A BPF netfilter program at PRE_ROUTING (Linux 6.4), or else an nftables table. It sees what no socket hook does: frames that pods write
/// themselves (AF_PACKET), and packets of sandboxes with a network stack of their own (gVisor, Kata).
package enum HostGuard: Sendable, Equatable {
    case active(Mechanism)
    /// This kernel or this installation cannot have it; pods with `CAP_NET_RAW`, and sandboxes, are held back by nothing
    /// on this node.
    case unavailable(BPFError)

    /// The pin of each address family's link.
    static let families: [(pin: String, family: CInt)] = [("forward4", AF_INET), ("forward6", AF_INET6)]

    /// Installs the guard, or replaces that of an earlier agent without a gap.
    static func install(_ configuration: DatapathConfiguration) throws(BPFError) -> [HookState] {
        let program = try ForwardProgram(configuration)
        var hooks: [HookState] = []
        for (pin, family) in families {
            let path = "\(configuration.pinDirectory.links)/\(pin)"
            let wasPinned = unsafe access(path, F_OK) == 0
            let link = try attach(program, family: family)
            // Links of this kind cannot change their program: the new one works before the old one's pin goes.
            let temporary = path + "-next"
            unsafe unlink(temporary)
            try check(unsafe bpf_obj_pin(link.rawValue, temporary), "pin a link at \(temporary)")
            guard unsafe rename(temporary, path) == 0 else {
                throw BPFError("replace the pin at \(path)", errorNumber: errno)
            }
            hooks.append(HookState(name: pin, origin: wasPinned ? .adopted : .attached))
        }
        return hooks
    }

    /// After the kernel's "raw" table and before connection tracking (-200): what is dropped leaves no trace there, and
    /// no address translation has touched it. A priority holds one BPF program, and none that anything else has taken,
    /// which rules out the tables' own (-150 is iptables' mangle); each upgrade takes the next free one.
    private static let priorities: ClosedRange<CInt> = -299 ... -284

    private static func attach(
        _ program: borrowing ForwardProgram, family: CInt
    ) throws(BPFError) -> FileDescriptor {
        for priority in priorities {
            let descriptor = nid_link_netfilter(program.descriptor, UInt32(family), priority)
            if descriptor < 0, errno == EBUSY { continue }
            return try FileDescriptor(owning: descriptor, "attach nid_forward to netfilter's PRE_ROUTING")
        }
        throw BPFError(
            "attach nid_forward to netfilter's PRE_ROUTING", errorNumber: EBUSY,
            hint: "priorities \(priorities.lowerBound) to \(priorities.upperBound) are all taken"
        )
    }
}

/// The loaded program.
@safe
private struct ForwardProgram: ~Copyable {
    private let skeleton: UnsafeMutablePointer<nid_forward_skeleton>

    /// `BPF_PROG_TYPE_NETFILTER` and `BPF_NETFILTER`: newer than the libbpf we link.
    private static let programType = bpf_prog_type(32)
    private static let attachType = bpf_attach_type(45)

    var descriptor: CInt { unsafe bpf_program__fd(skeleton.pointee.progs.nid_forward) }

    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        unsafe self.skeleton = try Self.load(configuration)
    }

    deinit {
        unsafe nid_forward_skeleton__destroy(skeleton)
    }

    private static func load(
        _ configuration: DatapathConfiguration
    ) throws(BPFError) -> UnsafeMutablePointer<nid_forward_skeleton> {
        let skeleton = unsafe configuration.pinDirectory.maps.withCString { maps in
            var options = unsafe openOptions(pinningMapsBelow: maps)
            return unsafe nid_forward_skeleton__open_opts(&options)
        }
        guard let skeleton = unsafe skeleton, let constants = unsafe skeleton.pointee.rodata else {
            throw BPFError("open the forward guard's program", errorNumber: errno)
        }
        unsafe withUnsafeMutableBytes(of: &constants.pointee.nid_endpoints) { table in
            unsafe constants.pointee.nid_endpoint_count = configuration.store(in: table)
        }
        unsafe bpf_program__set_type(skeleton.pointee.progs.nid_forward, programType)
        unsafe bpf_program__set_expected_attach_type(skeleton.pointee.progs.nid_forward, attachType)
        do throws(BPFError) {
            try checkLoad(unsafe nid_forward_skeleton__load(skeleton), "forward guard")
        } catch {
            unsafe nid_forward_skeleton__destroy(skeleton)
            throw error
        }
        return unsafe skeleton
    }
}
