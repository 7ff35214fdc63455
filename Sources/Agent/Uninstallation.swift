import BPF

/// Removes what the agent attached, with or without an agent running.
package enum Uninstallation {
    /// - Returns: The pins that were removed.
    package static func run(pinDirectory: String) throws -> [String] {
        try PinDirectory(path: pinDirectory).remove()
    }
}
