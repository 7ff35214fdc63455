import Foundation

extension Demo {
    /// Mutual TLS between two pods, by certificates that the endpoint gives to each, without a file, a volume or a password.
    func showHandshake(_ pods: [(name: String, pod: RunningPod)]) async throws {
        func pod(_ name: String) throws -> RunningPod {
            guard let found = pods.first(where: { $0.name == name }) else { throw LabError("no pod \(name)") }
            return found.pod
        }
        let (server, client, other) = (try pod("reports"), try pod("web-1"), try pod("exporter"))
        let id = LabSigner.id
        let serving = try server.start(
            peer("--serve", "--address", server.address, "--peer", id("shop", "web")))
        try await serving.errorLines.first(within: .seconds(20)) { $0 == "listening" || $0.hasPrefix("Error") }
        print("  \(server.name) serves at \(server.address):7443, to \(id("shop", "web")) alone")
        let arguments = peer("--address", server.address, "--peer", id("finance", "reports"))
        let answer = try await Command.run(client.commandLine(arguments))
        print("  \(client.name) asks: \(answer.output.trimmingCharacters(in: .newlines))")
        guard answer.output == "hello from \(id("finance", "reports"))\n" else {
            throw LabError("two pods did not speak: \(answer.output)\(answer.errorOutput)")
        }
        let refusal = try await Command.run(other.commandLine(arguments))
        guard refusal.succeeded else { throw LabError("\(other.name) has not asked: \(refusal.errorOutput)") }
        print("  \(other.name) asks: \(refusal.output.trimmingCharacters(in: .newlines))")
        let verdict = "refused \(id("monitoring", "exporter"))"
        try await serving.errorLines.first(within: .seconds(10)) { $0.hasPrefix("refused") }
        print("  \(server.name) says: " + serving.errorLines.events.dropFirst().joined(separator: ", "))
        serving.signal(SIGKILL)
        _ = await serving.result()
        guard !refusal.output.contains("hello"), serving.errorLines.events.contains(verdict) else {
            throw LabError("a third pod was not refused: \(refusal.output)")
        }
    }

    private func peer(_ arguments: String...) -> [String] { [world.binaries + "/podidentd-lab", "peer"] + arguments }
}
