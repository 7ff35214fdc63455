import Attribution
import CBPFPrograms
import CLibbpf
import Netlink
import Synchronization

/// Has the host guard see what is translated to the node's own addresses, once one of those is protected.
///
/// Holds the loaded program, and a socket that lists addresses: an agent that serves may make neither.
final class OwnAddressGuard: Sendable {
    private let configuration: DatapathConfiguration
    private let program: Mutex<ForwardProgram>
    private let interfaces: Mutex<NetworkInterfaces>

    /// Loads the program. The addresses are those of the calling thread's network namespace.
    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        self.configuration = configuration
        program = Mutex(try ForwardProgram(configuration))
        interfaces = Mutex(try overNetlink { () throws(NetlinkError) in try NetworkInterfaces() })
    }

    /// Whether one of the node's addresses is protected, or redirected.
    func nodeHasProtectedAddress() throws(BPFError) -> Bool {
        let found = try overNetlink { () throws(NetlinkError) in
            try interfaces.withLock { interfaces throws(NetlinkError) in try interfaces.addresses() }
        }
        let addresses = Set(found.compactMap { IPAddress(bytes: $0) })
        return configuration.endpoints.contains(where: addresses.contains)
            || configuration.protectedEndpoints.contains { addresses.contains($0.address) }
    }

    /// Attaches the program at places of the calling thread's network namespace.
    func install(at places: [HostGuard.Place]) throws(BPFError) -> [HookState] {
        try program.withLock { program throws(BPFError) in
            try HostGuard.install(program, at: places, configuration)
        }
    }
}

/// The loaded program.
@safe
struct ForwardProgram: ~Copyable {
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
