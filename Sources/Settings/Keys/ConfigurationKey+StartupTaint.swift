import Attribution

extension ConfigurationKey {
    static let startupTaint = optional(
        "startup-taint.key", \.startupTaint, allowed: "a taint's key such as example.org/name",
        parse: { $0.isQualifiedName ? $0 : nil },
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
}
