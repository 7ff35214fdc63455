import CBPFPrograms
import CLibbpf
import Glibc
package import Netlink
import Synchronization

/// The guard of the node's interfaces: drops frames to protected endpoints that pods in the node's network namespace
/// (`hostNetwork`) write to an interface themselves (AF_PACKET), which neither socket hooks nor netfilter see.
///
/// A program at tcx egress (Linux 6.6) of each interface of the namespace of the thread that made this value, but for
/// those to pods. Its links are pinned, so that it outlives the agent.
package final class UplinkGuard: Sendable {
    /// A change that ``refresh()`` has made.
    package enum Change: Sendable, Equatable {
        case guarded(String, HookState.Origin)
        /// The interface is gone.
        case forgotten(index: UInt32)
        /// The interface's frames begin with a header that the program cannot read.
        case unknownFrames(String)
        case failed(String, BPFError)
    }

    /// Begins the name of each link's pin; the interface's index follows.
    static let pinPrefix = "uplink-"

    private let pins: PinDirectory
    private let program: Mutex<UplinkProgram>
    private let interfaces: Mutex<NetworkInterfaces>
    /// The interfaces that have been looked at, by index.
    private let known = Mutex<[UInt32: KnownInterface]>([:])

    private struct KnownInterface {
        /// The interface's name: an index may be used again.
        var name: String
        /// Whether the guard failed: each look tries it again, and the first alone reports it.
        var hasFailed: Bool
    }

    /// Loads the program. Nothing is attached before ``refresh()``.
    package init(_ configuration: DatapathConfiguration) throws(BPFError) {
        pins = configuration.pinDirectory
        program = Mutex(try UplinkProgram(configuration))
        interfaces = Mutex(try overNetlink { () throws(NetlinkError) in try NetworkInterfaces() })
    }

    /// Whether an interface is one that a pod's own frames may leave the node by.
    ///
    /// Container networks make one veth for each pod, without an address. Those are left out: what the node sends there
    /// ends in that pod. A veth with an address may be the node's own (kind).
    package static func isUplink(_ interface: NetworkInterface) -> Bool {
        interface.kind != "veth" || interface.hasAddress
    }

    /// Whether an interface could not be guarded: the next look tries it again.
    var hasFailed: Bool { known.withLock { $0.values.contains(where: \.hasFailed) } }

    /// Attaches to interfaces that are new, and forgets those that are gone. Two requests to the kernel where nothing
    /// has changed.
    ///
    /// - Returns: The changes.
    /// - Throws: Why the interfaces cannot be listed.
    package func refresh() throws(BPFError) -> [Change] {
        let found = try overNetlink { () throws(NetlinkError) in
            try interfaces.withLock { interfaces throws(NetlinkError) in try interfaces.list() }
        }
        let uplinks = found.filter(Self.isUplink)
        var changes: [Change] = []
        for interface in uplinks {
            let last = known.withLock { $0[interface.index] }.flatMap { $0.name == interface.name ? $0 : nil }
            if let last, !last.hasFailed { continue }
            let change = attach(to: interface)
            let hasFailed = if case .failed = change { true } else { false }
            known.withLock { $0[interface.index] = KnownInterface(name: interface.name, hasFailed: hasFailed) }
            if last == nil || !hasFailed { changes.append(change) }
        }
        let indices = Set(uplinks.map(\.index))
        known.withLock { known in known = known.filter { indices.contains($0.key) } }
        for index in pins.uplinks where !indices.contains(index) {
            unsafe unlink(pin(index))
            changes.append(.forgotten(index: index))
        }
        return changes
    }

    /// Has the next ``refresh()`` attach to every interface again: the pins' file system is gone, and the links with
    /// it.
    package func forgetLinks() {
        known.withLock { known in known = known.filter(\.value.hasFailed) }
    }

    private func pin(_ index: UInt32) -> String { "\(pins.links)/\(Self.pinPrefix)\(index)" }

    private func attach(to interface: NetworkInterface) -> Change {
        guard let frames = FrameKind(ofInterfaceType: interface.type) else { return .unknownFrames(interface.name) }
        do throws(BPFError) {
            return .guarded(
                interface.name,
                try program.withLock { program throws(BPFError) in
                    try attach(program.program(frames), to: interface)
                })
        } catch {
            return .failed(interface.name, error)
        }
    }

    private func attach(
        _ program: borrowing BPFProgram, to interface: NetworkInterface
    ) throws(BPFError) -> HookState.Origin {
        let path = pin(interface.index)
        if let link = try BPFLink.pinned(at: path) {
            // An interface's end leaves a link without one, and its index may be another's now.
            if nid_tcx_interface(link.descriptor) == Int64(interface.index),
                try link.replaceProgram(with: program)
            {
                return .adopted
            }
            unsafe unlink(path)
        }
        let link = try FileDescriptor(
            owning: nid_link_tcx_egress(program.descriptor, interface.index), "attach nid_uplink to \(interface.name)")
        try check(unsafe bpf_obj_pin(link.rawValue, path), "pin a link at \(path)")
        return .attached
    }
}

/// How the frames of an interface begin.
enum FrameKind: Sendable {
    case ethernet
    case ip

    /// `nil`: in another way.
    init?(ofInterfaceType type: UInt16) {
        switch type {
        // ARPHRD_ETHER, ARPHRD_LOOPBACK.
        case 1, 772: self = .ethernet
        // ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_PPP; tunnels of IP in IP and GRE.
        case 0xfffe, 519, 512, 768, 769, 776, 778, 823: self = .ip
        default: return nil
        }
    }
}

extension PinDirectory {
    /// The indices of the interfaces that ``UplinkGuard`` has links for.
    package var uplinks: [UInt32] {
        entries(of: links).compactMap { name in
            name.hasPrefix(UplinkGuard.pinPrefix) ? UInt32(name.dropFirst(UplinkGuard.pinPrefix.count)) : nil
        }
    }
}

/// The loaded programs.
@safe
private struct UplinkProgram: ~Copyable {
    private let skeleton: Skeleton<nid_uplink_skeleton>

    init(_ configuration: DatapathConfiguration) throws(BPFError) {
        unsafe skeleton = try Skeleton(
            "uplink guard",
            .init(
                open: nid_uplink_skeleton__open_opts, load: nid_uplink_skeleton__load,
                destroy: nid_uplink_skeleton__destroy),
            pins: configuration.pinDirectory
        ) { layout throws(BPFError) in
            let constants = try unsafe constants(layout.pointee.rodata, of: "uplink guard")
            unsafe constants.pointee.nid_endpoints = configuration.kernelTable
        }
    }

    func program(_ frames: FrameKind) throws(BPFError) -> BPFProgram {
        let pointer = try unsafe skeleton.withLayout { layout in
            switch frames {
            case .ethernet: unsafe layout.pointee.progs.nid_uplink
            case .ip: unsafe layout.pointee.progs.nid_uplink_ip
            }
        }
        return try unsafe BPFProgram(pointer, of: "uplink")
    }
}
