/// A pod's UID as the kubelet writes it into cgroup names.
///
/// The form is closed: either the RFC 4122 text that the API server generates (36 characters, lower case), or the
/// 32 digits of a static pod's configuration hash. A static manifest may name any other text as its `metadata.uid`;
/// such a pod has no identity, so its UID is not one.
///
/// The value is the digits, not the text: comparing and hashing touch 17 bytes, and no two spellings are equal.
package struct PodUID: Hashable, Sendable, CustomStringConvertible {
    private enum Form: UInt8 {
        /// `8-4-4-4-12` hexadecimal digits: `metadata.uid` of a pod that the API server made.
        case uuid
        /// 32 hexadecimal digits: FNV-128a of a static pod's manifest (kubelet `config/common.go`).
        case configHash
    }

    /// The digits in halves. As one UInt128 they would lose the upper one in debug builds for arm64, when an asynchronous
    /// function takes or returns them (swiftlang/swift#89842).
    private let upper: UInt64
    private let lower: UInt64
    private let form: Form

    /// Accepts the two forms above; anything else is `nil`.
    package init?(_ text: String) {
        self.init(bytes: text.utf8)
    }

    /// Accepts the two forms above as ASCII bytes; anything else is `nil`.
    package init?(bytes: some Collection<UInt8>) {
        self.init(bytes: bytes, separator: UInt8(ascii: "-"))
    }

    /// Parses a UID whose groups are separated by `separator`: systemd slice names carry `_` for `-`.
    init?(bytes: some Collection<UInt8>, separator: UInt8) {
        switch bytes.count {
        case 36: self.form = .uuid
        case 32: self.form = .configHash
        default: return nil
        }
        var (upper, lower) = (0 as UInt64, 0 as UInt64)
        for (position, byte) in bytes.enumerated() {
            if self.form == .uuid, position == 8 || position == 13 || position == 18 || position == 23 {
                guard byte == separator else { return nil }
            } else {
                guard let digit = byte.lowercaseHexadecimalValue else { return nil }
                upper = upper << 4 | lower >> 60
                lower = lower << 4 | UInt64(digit)
            }
        }
        self.upper = upper
        self.lower = lower
    }

    /// The text of `metadata.uid`, with dashes where the form has them.
    package var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for position in 0..<32 {
            if self.form == .uuid, position == 8 || position == 12 || position == 16 || position == 20 {
                text.append(UInt8(ascii: "-"))
            }
            let half = position < 16 ? self.upper : self.lower
            text.append(UInt8(lowercaseHexadecimal: UInt8(truncatingIfNeeded: half >> ((15 - position % 16) * 4))))
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension PodUID: Comparable {
    /// Orders by the digits; a UUID comes before a hash of the same digits.
    package static func < (left: PodUID, right: PodUID) -> Bool {
        (left.upper, left.lower, left.form.rawValue) < (right.upper, right.lower, right.form.rawValue)
    }
}
