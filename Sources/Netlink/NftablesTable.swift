/// A table of family `inet`, whole: what `nft list table` shows, as a value.
package struct NftablesTable: Sendable, Equatable {
    package var name: String
    /// Counters by name, which rules refer to.
    package var counters: [String]
    package var chains: [Chain]

    package init(name: String, counters: [String] = [], chains: [Chain]) {
        self.name = name
        self.counters = counters
        self.chains = chains
    }

    /// Rules in their order. A chain without a hook is only jumped to, and must come before who jumps there.
    package struct Chain: Sendable, Equatable {
        package var name: String
        package var hook: Hook?
        package var rules: [[Expression]]

        package init(name: String, hook: Hook? = nil, rules: [[Expression]]) {
            self.name = name
            self.hook = hook
            self.rules = rules
        }
    }

    /// The place where packets enter a chain of type `filter`, with policy accept.
    package struct Hook: Sendable, Equatable {
        package enum Place: UInt32, Sendable {
            case prerouting = 0
            case input = 1
            case forward = 2
        }

        package var place: Place
        package var priority: Int32

        package init(_ place: Place, priority: Int32) {
            self.place = place
            self.priority = priority
        }
    }

    package enum Header: UInt32, Sendable {
        case network = 1
        case transport = 2
    }

    /// One step of a rule. The steps after one that does not hold are not taken.
    package enum Expression: Sendable, Equatable {
        /// The receiving interface has this link type (`ARPHRD_…`): `meta iiftype TYPE`.
        case interfaceType(UInt16)
        /// `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10): `meta nfproto ipv4`.
        case family(UInt8)
        /// The bytes at an offset of a header are these: `ip daddr 169.254.169.254` is 4 bytes at offset 16.
        case bytes(of: Header, offset: UInt32, equal: [UInt8])
        /// The bytes at an offset of a header are none of these, each of the same length: `tcp dport != 53`.
        case bytesDiffer(of: Header, offset: UInt32, from: [[UInt8]])
        /// Some of the bits under the mask are set: `@nh,48,16 & 0x3fff != 0`.
        case anyBit(of: Header, offset: UInt32, mask: [UInt8])
        /// The IPv4 header has this option: `ip option lsrr exists`.
        case ipv4Option(UInt8)
        /// Matches if there is an IPv6 extension header of this type, and the byte at this offset of it is another one:
        /// `rt seg-left != 0`.
        case extensionByteDiffers(type: UInt8, offset: UInt32, from: UInt8)
        /// Counts the packet: `counter name "arriving"`.
        case count(String)
        /// `accept`
        case accept
        /// `drop`
        case drop
        /// `goto CHAIN`
        case goTo(String)
    }
}
