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
    ///
    /// - Returns: The hooks, and what guards the node's own addresses from now on.
    static func install(_ configuration: DatapathConfiguration) throws(BPFError) -> ([HookState], OwnAddressGuard) {
        let ownAddresses = try OwnAddressGuard(configuration)
        // A list that changes while it is made tells nothing: then the input is guarded, and no lesser mechanism is taken for it.
        let hasProtectedAddress = (try? ownAddresses.nodeHasProtectedAddress()) ?? true
        if !hasProtectedAddress {
            for place in inputPlaces { unsafe unlink("\(configuration.pinDirectory.links)/\(place.pin)") }
        }
        return (try ownAddresses.install(at: places + (hasProtectedAddress ? inputPlaces : [])), ownAddresses)
    }

    static func install(
        _ program: borrowing ForwardProgram, at places: [Place], _ configuration: DatapathConfiguration
    ) throws(BPFError) -> [HookState] {
        var hooks: [HookState] = []
        for place in places {
            let path = "\(configuration.pinDirectory.links)/\(place.pin)"
            let wasPinned = unsafe access(path, F_OK) == 0
            let link = try attach(program, at: place)
            // Links of this kind cannot change their program.
            try pin(link.rawValue, inPlaceOf: path)
            hooks.append(HookState(name: place.pin, origin: wasPinned ? .adopted : .attached))
        }
        return hooks
    }

    /// Priorities between the kernel's "raw" table and connection tracking (-200): a drop leaves no trace there, and no
    /// address translation has touched the packet. The kernel gives a priority to one BPF program, and to none where
    /// anything else is registered, such as iptables (-150 is its mangle table). Each upgrade takes the next free one.
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
