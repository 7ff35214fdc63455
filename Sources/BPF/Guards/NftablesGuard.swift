import Attribution
import Netlink

/// The host guard as rules of nftables, for kernels without BPF netfilter links (Linux before 6.4).
///
/// Drops what `nid_forward` (bpf/forward.bpf.c) drops, and more. It knows no pods, so that frames of one with the
/// policy `passthrough` are dropped as well. It cannot read lists of addresses, so that it drops every packet with a
/// source route. The table outlives the agent.
enum NftablesGuard {
    static let tableName = "podidentd"
    /// The counters' names as the programs spell them.
    static let counterNames = [Drop.arriving.rawValue, Drop.translated.rawValue, Drop.routed.rawValue]

    /// A reason to drop a packet: the name of its counter, and of the chain that drops.
    private enum Drop: String {
        case arriving = "dropped_forward"
        case translated = "dropped_translated"
        case routed = "dropped_routed"
    }

    /// A priority beside the BPF guard's, each of which tolerates no other program.
    static let priority: Int32 = -283

    /// `ARPHRD_LOOPBACK`.
    private static let loopback: UInt16 = 772
    private static let ipv4: UInt8 = 2
    private static let ipv6: UInt8 = 10
    private static let tcp: UInt8 = 6
    private static let udp: UInt8 = 17
    /// ICMP and ICMPv6: harmless, and path MTU discovery and neighbour discovery need them.
    private static let icmp: [UInt8] = [1, 58]
    private static let dns: UInt16 = 53
    private static let ntp: UInt16 = 123
    /// Options of IPv4: loose and strict source route (RFC 791).
    private static let sourceRoutes: [UInt8] = [131, 137]
    private static let routingHeader: UInt8 = 43
    /// The offset at which a routing header says how many addresses are still ahead.
    private static let segmentsLeft: UInt32 = 3

    /// The rules that guard the endpoints of `configuration`.
    static func table(_ configuration: DatapathConfiguration) -> NftablesTable {
        var chains = counterNames.map { NftablesTable.Chain(name: $0, rules: [[.count($0), .drop]]) }
        let local: [[NftablesTable.Expression]] = [[.interfaceType(loopback), .accept]]
        let arriving = aims(configuration, "endpoint", .arriving, to: &chains)
        let translated = aims(configuration, "translated", .translated, to: &chains)
        for (name, place, rules) in [
            ("prerouting", NftablesTable.Hook.Place.prerouting, local + routes + arriving),
            // Nothing of the node's own is forwarded from its loopback interface.
            ("forward", .forward, routes + translated), ("input", .input, local + routes + translated),
        ] {
            chains.append(NftablesTable.Chain(name: name, hook: .init(place, priority: priority), rules: rules))
        }
        return NftablesTable(name: tableName, counters: counterNames, chains: chains)
    }

    /// Rules that drop packets with a source route.
    private static var routes: [[NftablesTable.Expression]] {
        sourceRoutes.map { [.family(ipv4), .ipv4Option($0), .goTo(Drop.routed.rawValue)] } + [
            [
                .family(ipv6), .extensionByteDiffers(type: routingHeader, offset: segmentsLeft, from: 0),
                .goTo(Drop.routed.rawValue),
            ]
        ]
    }

    /// Rules that go to a chain for each protected address, and these chains, appended to `chains`.
    private static func aims(
        _ configuration: DatapathConfiguration, _ prefix: String, _ drop: Drop, to chains: inout [NftablesTable.Chain]
    ) -> [[NftablesTable.Expression]] {
        let guarded = configuration.endpoints.map { ProtectedEndpoint(address: $0) } + configuration.protectedEndpoints
        var entry: [[NftablesTable.Expression]] = []
        for (number, (address, ports)) in guarded.portsByAddress().enumerated() {
            for (family, destinations) in forms(of: address) {
                let name = "\(prefix)\(number)" + (family == ipv4 ? "_ip" : "_ip6")
                chains.append(
                    NftablesTable.Chain(name: name, rules: rules(family: family, ports: ports, drop.rawValue)))
                for destination in destinations {
                    entry.append([
                        .family(family),
                        .bytes(of: .network, offset: family == ipv4 ? 16 : 24, equal: destination), .goTo(name),
                    ])
                }
            }
        }
        return entry
    }

    /// The destinations in a packet's header that mean `address`, by family: an IPv4 address also behind a translator
    /// (RFC 6052) and in its mapped form.
    private static func forms(of address: IPAddress) -> [(family: UInt8, destinations: [[UInt8]])] {
        let bytes = address.bytes
        switch address {
        case .ipv4:
            let mapped = [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + bytes
            let translated = [0x00, 0x64, 0xff, 0x9b] + [UInt8](repeating: 0, count: 8) + bytes
            return [(ipv4, [bytes]), (ipv6, [mapped, translated])]
        case .ipv6: return [(ipv6, [bytes])]
        }
    }

    /// Rules for packets to one address. The protocol is what the fixed header says: extension headers have no
    /// business here, a fragment may hide its port, and so both are dropped.
    private static func rules(
        family: UInt8, ports: [UInt16?], _ dropChain: String
    ) -> [[NftablesTable.Expression]] {
        let protocolOffset: UInt32 = family == ipv4 ? 9 : 6
        func isProtocol(_ number: UInt8) -> NftablesTable.Expression {
            .bytes(of: .network, offset: protocolOffset, equal: [number])
        }
        func isPort(_ port: UInt16) -> NftablesTable.Expression {
            .bytes(of: .transport, offset: 2, equal: Array(bytes(of: UInt64(port)).suffix(2)))
        }
        var rules: [[NftablesTable.Expression]] = icmp.map { [isProtocol($0), .accept] }
        if family == ipv4 {
            rules.append([.anyBit(of: .network, offset: 6, mask: [0x3f, 0xff]), .goTo(dropChain)])
        }
        rules.append([.bytesDiffer(of: .network, offset: protocolOffset, from: [[tcp], [udp]]), .goTo(dropChain)])
        for port in ports {
            if let port {
                rules.append([isPort(port), .goTo(dropChain)])
            } else {
                rules += [[isPort(dns), .accept], [isProtocol(udp), isPort(ntp), .accept], [.goTo(dropChain)]]
                break
            }
        }
        return rules
    }

    private static func bytes(of word: UInt64) -> [UInt8] {
        stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) }
    }
}
