import Foundation
import NIOCore

extension AgentProcess {
    /// The JSON of one view, by the request that `podidentd debug` makes on the admin socket.
    ///
    /// No process is started for it: rows and clients are told apart by what the agent's counters grow, hundreds of times.
    func view(_ path: String) async throws -> Data {
        let address = try SocketAddress(unixDomainSocketPath: adminSocket)
        let outcome = await onThread {
            ProbeConnection.get(path, from: address, headers: [], patience: 30 * LabKernel.patience)
        }
        guard case .answered(200, _, let body, _) = outcome else {
            throw LabError("the agent at \(adminSocket) gives no \(path): \(outcome)")
        }
        return Data(body.utf8)
    }
}
