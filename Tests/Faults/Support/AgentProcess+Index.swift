import AgentTesting
import Foundation
import Lab
import Operations

extension AgentProcess {
    /// Asks until the agent's index shows one pod and not the other.
    func shows(_ uid: String, notShowing other: String) async throws -> Bool {
        let deadline = ContinuousClock.now + FaultStage.deadline
        while ContinuousClock.now < deadline {
            let dump = String(
                decoding: try await AdminClient(socketPath: adminSocket).get("/debug/cgroups"), as: UTF8.self)
            if dump.contains(uid), !dump.contains(other) { return true }
        }
        return false
    }
}
