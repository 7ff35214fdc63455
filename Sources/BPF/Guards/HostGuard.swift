import CBPFPrograms
import CLibbpf
import Glibc

/// The guard in the network namespace of the calling thread, which must be the node's: drops packets to protected
/// endpoints that arrive from an interface, before and after address translation.
///
/// A BPF netfilter program at PRE_ROUTING and FORWARD, and at LOCAL_IN of a node that has a protected address itself
/// (Linux 6.4), or else an nftables table. It sees what no socket hook does: frames that pods write themselves
/// (AF_PACKET), packets of sandboxes with a network stack of their own (gVisor, Kata), and Services whose endpoint is a
/// protected address.
package enum HostGuard: Sendable, Equatable {
    case active(Mechanism)
    /// This kernel or this installation cannot have it; pods with `CAP_NET_RAW`, and sandboxes, are stopped by nothing
    /// on this node.
    case unavailable(BPFError)

    /// One attachment of the program.
    struct Place: Sendable {
        /// The name of the link's pin.
        var pin: String
        var family: CInt
        /// `enum nf_inet_hooks`.
        var hook: UInt32
    }

    /// Every node's attachments. The first two have had their names since they were the only ones.
    static let places: [Place] = [
        Place(pin: "forward4", family: AF_INET, hook: 0), Place(pin: "forward6", family: AF_INET6, hook: 0),
        Place(pin: "translated4", family: AF_INET, hook: 2), Place(pin: "translated6", family: AF_INET6, hook: 2),
    ]

    /// The places of a node that has a protected address itself, which a translation may reach. Every packet that a
    /// node receives pays for them, hence not every node's.
    static let inputPlaces: [Place] = [
        Place(pin: "input4", family: AF_INET, hook: 1), Place(pin: "input6", family: AF_INET6, hook: 1),
    ]

    /// Installs the guard, or replaces that of an earlier agent without a gap.
    static func install(_ configuration: DatapathConfiguration) throws(BPFError) -> [HookState] {
        let program = try ForwardProgram(configuration)
        let hasProtectedAddress = try LocalAddresses().contains(anyOf: configuration)
        if !hasProtectedAddress {
            for place in inputPlaces { unsafe unlink("\(configuration.pinDirectory.links)/\(place.pin)") }
        }
        return try install(program, at: places + (hasProtectedAddress ? inputPlaces : []), configuration)
    }

    /// Installs the attachments of a node that has a protected address itself, if it has one by now and has none yet.
    static func installInput(_ configuration: DatapathConfiguration) throws(BPFError) -> [HookState] {
        guard try LocalAddresses().contains(anyOf: configuration) else { return [] }
        return try install(try ForwardProgram(configuration), at: inputPlaces, configuration)
    }

    private static func install(
        _ program: borrowing ForwardProgram, at places: [Place], _ configuration: DatapathConfiguration
    ) throws(BPFError) -> [HookState] {
        var hooks: [HookState] = []
        for place in places {
            let path = "\(configuration.pinDirectory.links)/\(place.pin)"
            let wasPinned = unsafe access(path, F_OK) == 0
            let link = try attach(program, at: place)
            // Links of this kind cannot change their program: the new one works before the old one's pin goes.
            let temporary = path + "-next"
            unsafe unlink(temporary)
            try check(unsafe bpf_obj_pin(link.rawValue, temporary), "pin a link at \(temporary)")
            guard unsafe rename(temporary, path) == 0 else {
                throw BPFError("replace the pin at \(path)", errorNumber: errno)
            }
            hooks.append(HookState(name: place.pin, origin: wasPinned ? .adopted : .attached))
        }
        return hooks
    }

    /// After the kernel's "raw" table and before connection tracking (-200): what is dropped leaves no trace there, and
    /// no address translation has touched it. The kernel gives a priority to one BPF program, and to none where anything
    /// else is registered, such as iptables (-150 is its mangle table). Each upgrade takes the next free priority.
    private static let priorities: ClosedRange<CInt> = -299 ... -284

    private static func attach(
        _ program: borrowing ForwardProgram, at place: Place
    ) throws(BPFError) -> FileDescriptor {
        for priority in priorities {
            let descriptor = nid_link_netfilter(
                program.descriptor, UInt32(place.family), place.hook, priority)
            if descriptor < 0, errno == EBUSY { continue }
            return try FileDescriptor(owning: descriptor, "attach nid_forward to netfilter as \(place.pin)")
        }
        throw BPFError(
            "attach nid_forward to netfilter as \(place.pin)", errorNumber: EBUSY,
            hint: "priorities \(priorities.lowerBound) to \(priorities.upperBound) are all taken"
        )
    }
}

/// The loaded program.
@safe
private struct ForwardProgram: ~Copyable {
    private let skeleton: Skeleton<nid_forward_skeleton>
    let descriptor: CInt

    /// `BPF_PROG_TYPE_NETFILTER` and `BPF_NETFILTER`: newer than the libbpf we link.
    private static let programType = bpf_prog_type(32)
    private static let attachType = bpf_attach_type(45)

    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        let skeleton: Skeleton<nid_forward_skeleton> = try unsafe Skeleton(
            "forward guard",
            .init(
                open: nid_forward_skeleton__open_opts, load: nid_forward_skeleton__load,
                destroy: nid_forward_skeleton__destroy),
            pins: configuration.pinDirectory
        ) { layout throws(BPFError) in
            let constants = try unsafe constants(layout.pointee.rodata, of: "forward guard")
            unsafe constants.pointee.nid_endpoints = configuration.kernelTable
            unsafe bpf_program__set_type(layout.pointee.progs.nid_forward, Self.programType)
            unsafe bpf_program__set_expected_attach_type(layout.pointee.progs.nid_forward, Self.attachType)
        }
        descriptor = try unsafe skeleton.withLayout { unsafe bpf_program__fd($0.pointee.progs.nid_forward) }
        unsafe self.skeleton = skeleton
    }
}
