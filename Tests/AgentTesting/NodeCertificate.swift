package import Foundation
package import Lab

extension LabWorld {
    /// Rotates the node's certificate, and asks for tokens until the agent has taken it up.
    package func rotateNodeCertificate(
        _ agent: AgentProcess, notBefore: Date = Date(timeIntervalSinceNow: -3600), notAfter: Date
    ) async throws {
        let known = agent.log.events.count { $0.contains("node credentials reloaded") }
        try cluster.kubelet.rotate(to: try cluster.pki.node(Self.nodeName, notBefore: notBefore, notAfter: notAfter))
        let deadline = ContinuousClock.now + .seconds(60)
        while agent.log.events.count(where: { $0.contains("node credentials reloaded") }) == known {
            guard ContinuousClock.now < deadline else { throw LabError("the agent keeps its old certificate") }
            // Credentials are looked at when they are used.
            _ = try await node.pods.first?.ask()
        }
    }
}
