import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `podidentd-init`, the container's first process: the agent dies, and no connection is refused.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SupervisorTests {
    @Test("kill -9 under load, twice within a second: no connection is refused, and none gets another's identity")
    func killed() async throws {
        try await withWorld { world in
            let agent = try world.launchSupervised()
            try await agent.waitUntilReady()
            let load = try await Load(world)
            try await agent.answered(atLeast: 400)
            var gaps: [Duration] = []
            for count in 1...2 {
                let process = try agent.supervised()
                let start = ContinuousClock.now
                kill(process, SIGKILL)
                _ = try await load.pods[0].token()
                gaps.append(ContinuousClock.now - start)
                try await agent.restarted(count)
            }
            try await agent.answered(atLeast: 400)
            for report in try await load.reports() {
                #expect(report.correct > 100 && report.wrong == 0, "\(report)")
                #expect(report.refused == 0, "\(report)")
                // At most what was in the killed agents' hands: one request of each connection, twice.
                #expect(report.reset <= Load.connections, "\(report)")
                #expect(report.failures.isEmpty, "\(report)")
                #expect(report.statuses.keys.allSatisfy { $0 == 503 }, "\(report)")
                print("SUPERVISED \(report)")
            }
            let size = try Self.residentKilobytes(agent.processIdentifier)
            print("SUPERVISED next token after \(gaps.map(\.text)); supervisor \(size) kB resident")
            #expect(size < 4096)
            #expect(try await agent.status().incidents["restarted"] == 1)
            #expect(try await agent.status().hooks.values.allSatisfy { $0 == "adopted" })
            #expect(world.cluster.trap?.connections == 0)
            #expect(await agent.stop().status == 0)
            #expect(try await load.pods[0].run("curl", "-s", "http://169.254.169.254/").status == 7)
        }
    }

    @Test("a crash loop ends: the sixth crash within a minute is the supervisor's end, with the agent's status")
    func crashLoop() async throws {
        try await withWorld { world in
            let agent = try world.launchSupervised()
            try await agent.waitUntilReady()
            for count in 1...5 {
                kill(try agent.supervised(), SIGKILL)
                try await agent.restarted(count)
            }
            kill(try agent.supervised(), SIGKILL)
            let result = await agent.result()
            #expect(result.status == 128 + SIGKILL)
            #expect(result.errorOutput.contains("podidentd-init gives up"))
            let pod = try await world.addPod("a")
            #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").status == 7)
        }
    }

    @Test("an agent that cannot start is not started again: its error and status are the supervisor's")
    func cannotStart() async throws {
        try await withWorld { world in
            let changes = ["kubernetes.kubeconfig": "/nowhere/kubelet.conf"]
            let alone = await (try world.launchAgent(changes)).result()
            let result = await (try world.launchSupervised(changes)).result()
            #expect(result.status == alone.status && result.status != 0)
            #expect(result.errorOutput.components(separatedBy: "Error:").count == 2, "\(result.errorOutput)")
            let version = [world.binaries + "/podidentd-init", world.binaries + "/podidentd", "version"]
            let text = try await Command.require(version)
            #expect(text.hasPrefix("podidentd "))
        }
    }

    @Test("SIGTERM reaches the agent and ends both, also while the supervisor pauses")
    func signals() async throws {
        try await withWorld { world in
            let agent = try world.launchSupervised()
            try await agent.waitUntilReady()
            #expect(await agent.stop().status == 0)

            let second = try world.launchSupervised()
            try await second.waitUntilReady()
            for count in 1...2 {
                kill(try second.supervised(), SIGKILL)
                try await second.restarted(count)
            }
            // The third start comes a second later.
            kill(try second.supervised(), SIGKILL)
            #expect(await second.stop().status != 0)
            #expect(!second.log.events.contains { $0.contains("restarts=3") })
        }
    }

    @Test("the supervisor holds no right of its own, and the agent has those that it has without one")
    func rights() async throws {
        try await withWorld { world in
            let agent = try world.launchSupervised()
            try await agent.waitUntilReady()
            let supervisor = try Self.status(agent.processIdentifier)
            #expect(supervisor["CapEff"] == "0000000000000000")
            #expect(supervisor["CapInh"] == "0000000000000000")
            // With CAP_SETPCAP (8), by which the agent and its opener empty their bounding sets, and the opener's rights.
            #expect(supervisor["CapPrm"] == "000000c000281504")
            #expect(supervisor["CapBnd"] == "000000c000281504")
            #expect(supervisor["NoNewPrivs"] == "1")
            let process = try Self.status(try agent.supervised())
            #expect(process["CapEff"] == "000000c000001004" && process["CapBnd"] == "0000000000000000")
            #expect(process["Seccomp"] == "2")
            await agent.stop()
        }
    }

    @Test("upgrades between supervised agents lose no request, and the replaced supervisor ends with its agent")
    func upgrade() async throws {
        try await withWorld { world in
            let agent = try world.launchSupervised()
            try await agent.waitUntilReady()
            let load = try await Load(world)
            try await agent.answered(atLeast: 400)
            let successor = try world.launchSupervised()
            try await successor.waitUntilReady()
            #expect(await agent.result().status == 0)
            try await successor.answered(atLeast: 400)
            try await load.expectNoFailure("SUPERVISED UPGRADE", atLeast: 700)
            // Nothing of the replaced one keeps the port.
            #expect(await successor.stop().status == 0)
            #expect(try await load.pods[0].run("curl", "-s", "http://169.254.169.254/").status == 7)
        }
    }

    private static func status(_ process: Int32) throws -> [String: String] {
        let lines = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8).split(separator: "\n")
        let fields = lines.map { $0.split(separator: ":", maxSplits: 1) }.filter { $0.count == 2 }
        return Dictionary(
            fields.map { (String($0[0]), $0[1].trimmingCharacters(in: .whitespaces)) }, uniquingKeysWith: { $1 })
    }

    private static func residentKilobytes(_ process: Int32) throws -> Int {
        let words = try status(process)["VmRSS"]?.split(separator: " ") ?? []
        return words.first.flatMap { Int($0) } ?? 0
    }
}

extension LabWorld {
    /// Starts the agent as the image does: below `podidentd-init`.
    func launchSupervised(_ changes: [String: String?] = [:]) throws -> AgentProcess {
        try launchAgent(changes, prefix: [binaries + "/podidentd-init"])
    }
}

extension AgentProcess {
    /// The agent below its supervisor.
    func supervised() throws -> Int32 {
        let path = "/proc/\(processIdentifier)/task/\(processIdentifier)/children"
        let children = try String(contentsOfFile: path, encoding: .utf8).split(separator: " ")
        guard let child = children.first.flatMap({ Int32($0) }) else { throw LabError("the supervisor has no child") }
        return child
    }

    /// Waits until the supervisor has started the agent for so many more times, and it serves.
    func restarted(_ count: Int) async throws {
        _ = try await log.wait(within: .seconds(60)) { lines in
            guard let start = lines.lastIndex(where: { $0.contains("restarts=\(count)") }) else { return false }
            return lines[start...].contains { $0.contains(" ready") }
        }
    }
}
