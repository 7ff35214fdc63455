import Attribution
import CBPFPrograms

extension CallerTag {
    /// The tag as the kernel wrote it, or `nil` if no caller claimed the connection.
    init?(_ tag: nid_tag) {
        guard tag.state == UInt8(NID_TAG_CLAIMED.rawValue) else { return nil }
        let (a, b, c, d, e) = tag.ancestors
        self.init(
            ancestors: [a, b, c, d, e],
            leaf: CgroupID(rawValue: tag.leaf),
            networkNamespaceCookie: tag.netns_cookie,
            socketCookie: tag.socket_cookie,
            originalDestination: OriginalDestination(
                address: IPAddress(tag.destination), port: tag.destination_port
            )
        )
    }
}

extension IPAddress {
    init(_ address: nid_address) {
        let (a, b, c, d) = address.word
        let words = (UInt32(bigEndian: a), UInt32(bigEndian: b), UInt32(bigEndian: c), UInt32(bigEndian: d))
        let (high, low) = (UInt64(words.0) << 32 | UInt64(words.1), UInt64(words.2) << 32 | UInt64(words.3))
        self = IPAddress.ipv6(high, low).unmapped
    }
}

extension nid_address {
    init(_ address: IPAddress) {
        switch address {
        case .ipv4(let word):
            self.init(word: (0, 0, UInt32(0xffff).bigEndian, word.bigEndian))
        case .ipv6(let high, let low):
            self.init(
                word: (
                    UInt32(truncatingIfNeeded: high >> 32).bigEndian, UInt32(truncatingIfNeeded: high).bigEndian,
                    UInt32(truncatingIfNeeded: low >> 32).bigEndian, UInt32(truncatingIfNeeded: low).bigEndian
                )
            )
        }
    }
}
