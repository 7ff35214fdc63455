import BPF
import Glibc
import Operations

/// Whether an agent of this node answers: what `podidentd live` tells the kubelet.
///
/// Liveness does not depend on a port, because another process may hold it. Nor does it depend on the admin socket's existence,
/// because a full disk may prevent that. An agent that serves pods is not to be ended for either.
package enum Liveness {
    /// A kubelet waits as long as its probe's `timeoutSeconds`.
    private static let deadline = Duration.seconds(4)

    /// Asks the agent behind `socket`; or, where there is no such socket, looks for an agent that holds the lock.
    ///
    /// - Parameters:
    ///   - socket: `admin.socket` of the agent.
    ///   - pinDirectory: `bpf.pin-directory` of the agent.
    /// - Returns: Why the agent is not alive; `nil` if it is.
    package static func objection(socket: String, pinDirectory: String) async -> String? {
        do {
            _ = try await AdminClient(socketPath: socket, deadline: deadline).get("/debug/live")
            return nil
        } catch {
            guard unsafe access(socket, F_OK) != 0, let lock = PinLock(existing: PinDirectory(path: pinDirectory)),
                (try? lock.tryAcquire()) == false
            else { return "\(error)" }
            return nil
        }
    }
}
