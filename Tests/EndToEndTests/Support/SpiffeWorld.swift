import AgentTesting
import Foundation
import Lab

/// The bytes of a request in hexadecimal.
enum WorkloadField {
    static func frame(_ fields: [(Int, String)]) -> String {
        let message = fields.filter { !$0.1.isEmpty }.flatMap { field, text -> [UInt8] in
            [UInt8(field << 3 | 2)] + varint(text.utf8.count) + Array(text.utf8)
        }
        let length = (0..<4).map { UInt8(truncatingIfNeeded: message.count >> (24 - 8 * $0)) }
        return ([0] + length + message).map { String(format: "%02x", $0) }.joined()
    }

    private static func varint(_ value: Int) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + varint(value >> 7)
    }
}

extension LabWorld {
    /// A raw call of the SPIFFE endpoint, inside `pod`.
    func workload(_ pod: RunningPod, _ arguments: String...) async throws -> WorkloadResponse {
        try await workload(pod, arguments)
    }

    func workload(_ pod: RunningPod, _ arguments: [String]) async throws -> WorkloadResponse {
        try await answer(try pod.start([binaries + "/podidentd-lab", "workload"] + arguments))
    }

    func start(_ pod: RunningPod, _ arguments: String...) throws -> Command {
        try pod.start([binaries + "/podidentd-lab", "workload"] + arguments)
    }

    func answer(_ command: Command) async throws -> WorkloadResponse {
        let result = await command.result()
        guard result.succeeded else { throw LabError("the raw client failed: \(result.errorOutput)") }
        return try JSONDecoder().decode(WorkloadResponse.self, from: Data(result.output.utf8))
    }

    /// Runs `body`, and ends both processes whatever happens; prints their logs if it fails.
    func ending(_ agent: AgentProcess, _ signer: LabSigner, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            print((agent.log.events + signer.log.events).joined(separator: "\n"))
            await agent.kill()
            await signer.kill()
            throw error
        }
        await agent.stop()
        await signer.stop()
    }

    /// How many streams the agent has open, by its own metrics.
    func openStreams() async throws -> Int {
        Int(try await metric("podidentd_spiffe_held", "what=\"streams\""))
    }

    func pushes() async throws -> Int {
        Int(try await metric("podidentd_spiffe_pushes_total ", nil))
    }

    private func metric(_ name: String, _ label: String?) async throws -> Double {
        let lines = try await operations("/metrics").body.split(separator: "\n")
        let line = lines.first { line in
            line.hasPrefix(name) && label.map { line.contains($0) } ?? true
        }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { Double($0) } ?? -1
    }

    /// A pod-bound token as the kubelet mints one for a volume.
    func mint(for pod: RunningPod, serviceAccount: String, audience: String) async throws -> String {
        let body = """
            {"spec":{"audiences":["\(audience)"],"expirationSeconds":3600,"boundObjectRef":\
            {"apiVersion":"v1","kind":"Pod","name":"\(pod.name)","uid":"\(pod.uid)"}}}
            """
        let path = "/api/v1/namespaces/default/serviceaccounts/\(serviceAccount)/token"
        let result = try await Command.run(
            node.processCommand + [
                "curl", "-s", "--cacert", cluster.authorityPath, "--cert", cluster.kubelet.currentCertificatePath,
                "-H", "Content-Type: application/json", "-d", body, cluster.kubernetesURL + path,
            ])
        guard let token = try JSON(parsing: Array(result.output.utf8))["status"]?["token"]?.string else {
            throw LabError("no token: \(result.output)")
        }
        return token
    }
}
