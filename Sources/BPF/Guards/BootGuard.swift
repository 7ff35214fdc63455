package import Attribution
import Glibc
import Netlink

/// The guard from boot until the hooks are attached: the BPF file system is empty after a reboot, and a kubelet starts
/// its pods before the agent is up. Rules of nftables, which a unit of the node loads before the kubelet starts.
///
/// Packets to protected addresses are dropped in two cases: they come from another network namespace (forwarded), or
/// from a socket of the node's own namespace that no service of the host made (OUTPUT). kubepods does not exist yet,
/// hence a list of those that may and not of those that may not. The agent removes the table once its own hooks and
/// host guard are in place.
package struct BootGuard: Sendable {
    package static let tableName = "podidentd_boot"

    /// Redirected addresses and refused ones alike: without an agent both are refused.
    let endpoints: [ProtectedEndpoint]
    /// The cgroups whose processes may reach protected addresses, from the root of the hierarchy without a slash.
    let hostCgroups: [String]

    /// - Parameters:
    ///   - endpoints: `redirect.endpoints`.
    ///   - protectedEndpoints: `redirect.protected`.
    ///   - hostCgroups: Cgroups of the host's own services.
    package init(
        endpoints: [IPAddress], protectedEndpoints: [ProtectedEndpoint], hostCgroups: [String]
    ) {
        self.endpoints = endpoints.map { ProtectedEndpoint(address: $0) } + protectedEndpoints
        self.hostCgroups = hostCgroups
    }

    /// The rules that `nft -f` loads first. In the node's own namespace it lets root's sockets pass, which are also
    /// those of hostNetwork pods that run as root: ``cgroupRules`` narrows that where the kernel can.
    package var rules: String {
        var text = """
            # Written by 'podidentd guard install': see docs/operate/operations.md.
            add table inet \(Self.tableName)
            delete table inet \(Self.tableName)
            table inet \(Self.tableName) {
            \tchain all_ports {
            \t\t\(Self.harmless)
            \t\ttcp dport 53 accept
            \t\tudp dport { 53, 123 } accept
            \t\tcounter drop
            \t}

            """
        var entries: [String] = []
        for (number, (address, ports)) in endpoints.portsByAddress().enumerated() {
            var target = "all_ports"
            if !ports.contains(nil) {
                target = "ports\(number)"
                let list = ports.compactMap { $0 }.map(String.init).joined(separator: ", ")
                text += "\tchain \(target) {\n\t\t\(Self.harmless)\n\t\tmeta l4proto != { tcp, udp } counter drop\n"
                text += "\t\tth dport { \(list) } counter drop\n\t}\n"
            }
            entries += Self.matches(address).map { "\t\t\($0) goto \(target)\n" }
        }
        text += "\tchain protected {\n" + entries.joined() + "\t}\n"
        for (hook, first) in [
            ("prerouting", "iif \"lo\" accept; "), ("forward", ""), ("input", "iif \"lo\" accept; "),
            ("output", "meta skuid 0 accept; "),
        ] {
            text += "\tchain \(hook) { type filter hook \(hook) priority \(NftablesGuard.priority + 1); \(first)"
            text += "goto protected; }\n"
        }
        return text + "}\n"
    }

    /// The rules that `nft -f` loads second, where the kernel knows a socket's cgroup (Linux 5.13): hostNetwork pods do
    /// not pass, whatever their user.
    package var cgroupRules: String {
        var text = "# Written by 'podidentd guard install': see docs/operate/operations.md.\n"
        text += "flush chain inet \(Self.tableName) output\n"
        for cgroup in hostCgroups {
            let level = cgroup.split(separator: "/").count
            text += "add rule inet \(Self.tableName) output socket cgroupv2 level \(level) \"\(cgroup)\" accept\n"
        }
        return text + "add rule inet \(Self.tableName) output goto protected\n"
    }

    /// ICMP passes. A fragment may hide its port.
    private static let harmless =
        "meta l4proto { icmp, icmpv6 } accept\n\t\tip frag-off & 0x3fff != 0 counter drop"

    /// The destinations that mean an address: an IPv4 address also in its mapped form and behind a translator (RFC 6052).
    private static func matches(_ address: IPAddress) -> [String] {
        func hex(_ word: UInt64) -> String { String(word & 0xffff, radix: 16) }
        switch address {
        case .ipv4(let word):
            let low = "\(hex(UInt64(word) >> 16)):\(hex(UInt64(word)))"
            return ["ip daddr \(address.text)", "ip6 daddr { ::ffff:\(low), 64:ff9b::\(low) }"]
        case .ipv6(let high, let low):
            let groups = [high, low].flatMap { word in [48, 32, 16, 0].map { hex(word >> UInt64($0)) } }
            return ["ip6 daddr \(groups.joined(separator: ":"))"]
        }
    }

    /// Removes the guard's table from the network namespace of the calling thread, which must be the node's.
    ///
    /// - Returns: Its name as `nft` writes it, or `nil` if there was none.
    /// - Throws: What the kernel said.
    @discardableResult
    package static func removeTable() throws(BPFError) -> String? {
        try HostGuard.remove(table: tableName)
    }
}
