import BPF

/// Removes what the agent attached, with or without an agent running.
package enum Uninstallation {
    /// - Returns: The pins that were removed, and the nftables table of this network namespace.
    package static func run(pinDirectory: String) throws -> [String] {
        let pins = try PinDirectory(path: pinDirectory).remove()
        return pins + [try HostGuard.removeTable()].compactMap { $0 }
    }
}
