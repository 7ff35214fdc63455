import AgentTesting
import Foundation
import Lab
import Operations
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct LoadTests {
    private static let tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"

    @Test("10,000 connections from 8 pods at once: every answer is the caller's own, none untagged, nothing left")
    func manyConnections() async throws {
        try await withAgent { world, agent in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            var pods: [(pod: RunningPod, token: String)] = []
            for number in 1...8 {
                let pod = try await world.addPod("load-\(number)")
                pods.append((pod, try await pod.token().accessToken))
            }
            #expect(Set(pods.map(\.token)).count == 8)
            let descriptors = try await agent.settledDescriptors()

            let clients = try pods.map { pod, token in
                try world.probe(pod, [Self.tokenPath, "--exchanges", "1250", "--threads", "4", "--expect", token])
            }
            for client in clients {
                let report = try await client.loadReport()
                #expect(report.correct == 1250, "\(report)")
                #expect(report.total == 1250, "\(report)")
            }

            let status = try await agent.status()
            #expect(status.kernel["untagged"] == 0)
            #expect(status.kernel["mismatched"] == 0 && status.kernel["dropped_off_loopback"] == 0)
            #expect(status.kernel["tagged"] == 10_008)
            #expect(status.requests["connections.reset.untagged"] == nil)
            // Each pod was exchanged for once, by its own UID.
            #expect(
                world.cluster.securityTokenService.log.events.map(\.subject.podUID).sorted()
                    == pods.map(\.pod.uid).sorted())
            #expect(world.cluster.trap?.connections == 0)
            // The connection that asks for the count may or may not be closed yet.
            #expect(try await agent.settledDescriptors() <= descriptors + 1)
        }
    }

    @Test("kill -9 under load: refusals only, nothing reaches the trap, and a new agent adopts what is attached")
    func killedUnderLoad() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let first = try await world.startAgent()
            let pod = try await world.addPod("load")
            let token = try await pod.token().accessToken
            // Every token of this pod begins the same way; which one it is may change with the agent.
            let prefix = String(token.prefix(8))
            let load = try world.probe(
                pod,
                [Self.tokenPath, "--exchanges", "100000000", "--seconds", "600", "--threads", "2", "--expect", prefix]
            )
            try await first.served(atLeast: 100)
            await first.kill()
            let refused = try await pod.run("curl", "-sS", "--max-time", "60", "http://169.254.169.254/")
            #expect(refused.status == 7, "\(refused)")

            let second = try await world.startAgent()
            try await second.served(atLeast: 100)
            let report = try await load.stoppedLoadReport()
            // This test asked each agent once itself, and an agent counts an answer that its end cut off.
            #expect(report.correct > 190, "\(report)")
            #expect(report.wrong == 0, "\(report)")
            #expect(report.refused > 0, "\(report)")
            #expect(report.statuses.keys.allSatisfy { $0 == 503 }, "\(report)")
            #expect(try await second.status().hooks.values.allSatisfy { $0 == "adopted" })
            #expect(world.cluster.trap?.connections == 0)
            await second.stop()
        }
    }
}

extension Command {
    /// Ends a load of the probe, which it says that it listens to, and returns its counts.
    func stoppedLoadReport() async throws -> ProbeLoad.Report {
        try await errorLines.first { $0 == "asking" }
        signal(SIGTERM)
        return try await loadReport()
    }

    /// The counts of a load of the probe, at its end.
    func loadReport() async throws -> ProbeLoad.Report {
        let result = await result()
        guard result.succeeded else { throw LabError("the load ended with \(result.status): \(result.errorOutput)") }
        return try JSONDecoder().decode(ProbeLoad.Report.self, from: Data(result.output.utf8))
    }
}
