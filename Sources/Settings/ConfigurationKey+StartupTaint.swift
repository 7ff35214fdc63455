extension ConfigurationKey {
    static let startupTaint = optional(
        "startup-taint.key", \.startupTaint, allowed: "a taint's key such as example.org/name",
        parse: { isTaintKey($0) ? $0 : nil },
        """
        The key of a taint that the agent takes from its own node when it is ready (the component startup-taint). Empty: none.
        """
    )

    static let startupTaintTokenFile = decoded(
        "startup-taint.token-file", \.startupTaintTokenFile, default: "/var/run/secrets/podidentd/token",
        allowed: "an absolute path",
        decode: { text throws(ConfigurationError) in
            guard text.hasPrefix("/"), text.utf8.count < 4096, !text.utf8.contains(0) else {
                throw ConfigurationError("'\(text)' is not an absolute path")
            }
            return text
        },
        "The token of the agent's own ServiceAccount, which may change that taint. Only read with startup-taint.key."
    )

    /// A qualified name: an optional DNS prefix, and a name of at most 63 characters.
    private static func isTaintKey(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let name = parts.last, text.utf8.count <= 317, name.utf8.count <= 63 else {
            return false
        }
        return parts.allSatisfy { part in
            !part.isEmpty
                && part.utf8.allSatisfy { byte in
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                        || [UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_")].contains(byte)
                }
        }
    }
}
