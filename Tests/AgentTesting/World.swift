import Foundation
package import Lab
package import Operations

/// Making RSA keys takes a while: one pair for all tests.
package let sharedKeys = Result { try LabCluster.Keys() }

/// Runs `body` in a fresh world, and takes the world down whatever happens.
package func withWorld(
    layout: CgroupLayout = .standard, configure: (inout LabCluster.Configuration) -> Void = { _ in },
    _ body: (LabWorld) async throws -> Void
) async throws {
    try await LabWorld.with(keys: try sharedKeys.get(), layout: layout, configure: configure, body)
}

/// Runs `body` in a fresh world with a running agent, and prints the agent's log if it fails.
package func withAgent(
    _ changes: [String: String?] = [:], layout: CgroupLayout = .standard,
    configure: (inout LabCluster.Configuration) -> Void = { _ in },
    _ body: (LabWorld, AgentProcess) async throws -> Void
) async throws {
    try await withWorld(layout: layout, configure: configure) { world in
        let agent = try await world.startAgent(changes)
        do {
            try await body(world, agent)
        } catch {
            await agent.kill()
            throw error
        }
        await agent.stop()
    }
}

/// The same with a pod, whose ServiceAccount impersonates no account.
package func withAgentAndPod(_ body: (LabWorld, AgentProcess, RunningPod) async throws -> Void) async throws {
    try await withAgent { world, agent in
        world.addServiceAccount("app")
        try await body(world, agent, try await world.addPod("a", serviceAccount: "app"))
    }
}

/// An access token as the metadata endpoint answers it.
package struct TokenAnswer: Decodable {
    package var accessToken: String
    package var expiresIn: Int
    package var tokenType: String

    enum CodingKeys: String, CodingKey {
        case accessToken = "access_token"
        case expiresIn = "expires_in"
        case tokenType = "token_type"
    }
}

extension LabWorld {
    /// Starts an agent whose API server is away, and waits until it serves. It says that it is ready five seconds later, when
    /// it has waited for the pods.
    package func startAgentWithoutPods(_ changes: [String: String?] = [:]) async throws -> AgentProcess {
        let agent = try launchAgent(changes)
        do {
            try await agent.waitUntilReady(saying: "serving metadata")
        } catch {
            await agent.kill()
            throw error
        }
        return agent
    }

    /// Asks again and again for at most a minute, until `condition` holds.
    package func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while try await !condition() {
            guard ContinuousClock.now < deadline else { throw LabError("not within a minute: \(what)") }
        }
    }
}

extension RunningPod {
    /// Asks the metadata address with curl, as a workload would.
    package func curl(_ path: String) async throws -> (status: Int, body: String) {
        let result = try await run(
            "curl", "-s", "--max-time", "10", "-H", "Metadata-Flavor: Google", "-w", "\n%{http_code}",
            "http://169.254.169.254\(path)"
        )
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        guard result.succeeded, let status = lines.last.flatMap({ Int($0) }) else {
            throw LabError("curl ended with status \(result.status): \(result.errorOutput)")
        }
        return (status, lines.dropLast().joined(separator: "\n"))
    }

    /// The pod's access token.
    package func token() async throws -> TokenAnswer {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token"
        var answer = try await curl(path)
        // A 503 asks to try again: that the emulated machine is slow is not what its tests are about.
        for _ in 1..<LabKernel.patience where answer.status == 503 { answer = try await curl(path) }
        guard answer.status == 200 else { throw LabError("no token: \(answer.status) \(answer.body)") }
        return try JSONDecoder().decode(TokenAnswer.self, from: Data(answer.body.utf8))
    }
}

extension AgentProcess {
    /// The agent's status, as it says it.
    package func status() async throws -> AgentStatus {
        let data = Data(try await AdminClient(socketPath: adminSocket).get("/debug/status"))
        return try JSONDecoder().decode(AgentStatus.self, from: data)
    }

    /// Asks the agent, again and again for at most a minute, until it has answered so many token requests.
    package func served(atLeast count: UInt64) async throws {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while try await status().requests["answers.access_token.200", default: 0] < count {
            guard ContinuousClock.now < deadline else { throw LabError("fewer than \(count) answers in a minute") }
        }
    }

    /// Asks the agent in the same way until it has answered so many more than now.
    package func serves(more count: UInt64) async throws {
        try await served(atLeast: status().requests["answers.access_token.200", default: 0] + count)
    }

    /// How many descriptors the agent holds once every connection of a pod is closed; asks for at most a minute.
    package func settledDescriptors() async throws -> Int {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while true {
            let requests = try await status().requests
            if requests["connections.opened"] == requests["connections.closed"] { break }
            guard ContinuousClock.now < deadline else { throw LabError("connections are still open after a minute") }
        }
        return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(processIdentifier)/fd").count
    }
}
