import BPF
import FoundationEssentials
import Glibc
import Restart
import Settings

/// Removes what agents leave on a node, with or without one running.
package enum Uninstallation {
    /// Removes links, maps and sockets, whatever of them is there. Doing it again removes nothing more.
    ///
    /// - Parameters:
    ///   - pinDirectory: `bpf.pin-directory` of the agent.
    ///   - adminSocket: `admin.socket` of the agent.
    ///   - hostRoot: Where the host's root is mounted; empty: at the root. The boot guard's unit lies below it.
    ///   - isForced: Whether to remove what a running agent uses.
    /// - Throws: ``AgentError`` while an agent runs or answers at `adminSocket`; otherwise what could not be removed, after everything else
    ///   was.
    /// - Returns: What was removed, in order: the attachments first.
    package static func run(
        pinDirectory: String, adminSocket: String, hostRoot: String, isForced: Bool
    ) throws -> [String] {
        try run(
            pinDirectory: pinDirectory, adminSocket: adminSocket, hostRoot: hostRoot, isForced: isForced,
            tables: [{ try HostGuard.removeTable() }, { try BootGuard.removeTable() }])
    }

    /// Does the same with other removals of the guards' tables, each of which returns a table's name if there was one.
    static func run(
        pinDirectory: String, adminSocket: String, hostRoot: String, isForced: Bool,
        tables: [() throws -> String?]
    ) throws -> [String] {
        let pins = PinDirectory(path: pinDirectory)
        // Held to the end: no agent starts among the ruins.
        let lock = PinLock(existing: pins)
        let isRunning = try lock.map { try !$0.tryAcquire() } ?? false
        if isRunning, !isForced {
            let holder = lock?.holder.map { "PID \($0)" } ?? "in another PID namespace"
            throw AgentError(
                "an agent (\(holder)) runs with bpf.pin-directory \(pinDirectory); stop it first, or use --force: "
                    + "what is attached then goes with the agent")
        }
        // A running agent's sockets stay, whatever becomes of these pins.
        let isServed = isRunning || Predecessor.answers(at: adminSocket)
        if isServed, !isRunning, !isForced {
            throw AgentError(
                "an agent answers at admin.socket \(adminSocket), and does not use \(pinDirectory): name its "
                    + "bpf.pin-directory by --pin-directory, or use --force to remove what is there and leave that "
                    + "agent alone")
        }
        var removed: [String] = []
        var firstError: (any Error)?
        do {
            try pins.remove(detaches: !isRunning) { removed.append($0) }
        } catch {
            firstError = error
        }
        do {
            for removeTable in tables {
                if let table = try removeTable() { removed.append(table) }
            }
        } catch {
            firstError = firstError ?? error
        }
        // Otherwise it would hold pods back after the next boot, with no agent to let them go.
        removed += BootGuardUnit(hostRoot: hostRoot).remove()
        if !isServed {
            for path in [adminSocket, HandoverEndpoint.path(beside: adminSocket)] where removeSocket(path) {
                removed.append(path)
            }
        }
        if let firstError { throw IncompleteUninstallation(removed: removed, error: firstError) }
        return removed
    }

    /// Removes a socket that no process serves any more, and nothing that is not a socket.
    private static func removeSocket(_ path: String) -> Bool {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        guard attributes?[.type] as? FileAttributeType == .typeSocket else { return false }
        return unsafe unlink(path) == 0
    }
}

/// The error of an uninstallation that could not remove something.
package struct IncompleteUninstallation: Error, CustomStringConvertible {
    /// The paths that could.
    package let removed: [String]
    package let error: any Error

    package var description: String { "\(error)" }
}
