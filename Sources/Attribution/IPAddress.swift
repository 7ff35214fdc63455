#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// An IP address.
package enum IPAddress: Sendable, Hashable {
    /// Four bytes in network order, most significant first.
    case ipv4(UInt32)
    /// The first and last eight bytes in network order.
    case ipv6(UInt64, UInt64)

    /// Reads an address of either family, as inet_pton(3) does: no zone, no port, no leading zeros.
    package init?(_ text: String) {
        var word: UInt32 = 0
        var words: (UInt64, UInt64) = (0, 0)
        if unsafe inet_pton(AF_INET, text, &word) == 1 {
            self = .ipv4(UInt32(bigEndian: word))
        } else if unsafe inet_pton(AF_INET6, text, &words) == 1 {
            self = .ipv6(UInt64(bigEndian: words.0), UInt64(bigEndian: words.1))
        } else {
            return nil
        }
    }

    /// Reads the host of an endpoint: brackets stand around an IPv6 address, and around no other.
    package init?(host: Substring) {
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard host.contains(":") == isBracketed else { return nil }
        self.init(String(isBracketed ? host.dropFirst().dropLast() : host))
    }

    /// Takes 4 or 16 bytes in network order.
    package init?(bytes: [UInt8]) {
        func number(_ bytes: some Sequence<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self = .ipv4(UInt32(number(bytes)))
        case 16: self = .ipv6(number(bytes[..<8]), number(bytes[8...]))
        default: return nil
        }
    }

    /// The address in network order: 4 or 16 bytes.
    package var bytes: [UInt8] {
        func bytes(_ word: UInt64, _ count: Int) -> [UInt8] {
            (1...count).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * (count - $0))) }
        }
        return switch self {
        case .ipv4(let word): bytes(UInt64(word), 4)
        case .ipv6(let high, let low): bytes(high, 8) + bytes(low, 8)
        }
    }

    /// The address as people write it: the shortest form of RFC 5952, by inet_ntop(3).
    package var text: String {
        let isIPv4 = if case .ipv4 = self { true } else { false }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard unsafe inet_ntop(isIPv4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else {
            return ""
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The IPv4 address that an IPv6 address of `::ffff:0:0/96` stands for; any other address as it is.
    package var unmapped: IPAddress {
        if case .ipv6(0, let low) = self, low >> 32 == 0xffff { return .ipv4(UInt32(truncatingIfNeeded: low)) }
        return self
    }
}
