import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The rights that the running agent keeps, thread by thread, and that this is enough for everything it does.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct PrivilegeTests {
    /// CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF.
    private static let kept: UInt64 = 1 << 2 | 1 << 12 | 1 << 38 | 1 << 39

    @Test("every thread of the agent has the listed capabilities and no other, and a system call filter")
    func threads() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            _ = try await pod.token()
            let process = try Self.process(of: agent)
            let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")
            #expect(threads.count > 2)
            for thread in threads {
                let status = try Self.fields("/proc/\(process)/task/\(thread)/status")
                #expect(status["CapEff"].flatMap { UInt64($0, radix: 16) } == Self.kept, "thread \(thread)")
                #expect(status["CapPrm"] == status["CapEff"])
                for empty in ["CapInh", "CapBnd", "CapAmb"] {
                    #expect(status[empty].flatMap { UInt64($0, radix: 16) } == 0, "\(empty) of thread \(thread)")
                }
                #expect(status["NoNewPrivs"] == "1")
                #expect(status["Seccomp"] == "2")
                #expect(status["Seccomp_filters"] == "3")
            }
            let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
            let core = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
            #expect(core.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
        }
    }

    @Test("root without CAP_SYS_PTRACE reads other processes' memory, but not the agent's")
    func memory() async throws {
        try await withAgent { _, agent in
            let process = try Self.process(of: agent)
            func reads(_ process: String) async throws -> Bool {
                let script = "sh -c ': < /proc/\(process)/mem'; exit $?"
                return try await Command.run(["setpriv", "--bounding-set", "-sys_ptrace", "sh", "-c", script]).succeeded
            }
            // The reader's own parent has the same rights as the reader, and more than the agent.
            #expect(try await reads("$PPID"))
            #expect(try await !reads("\(process)"))
        }
    }

    @Test("with so few rights it adopts the hooks of the one before, rotates credentials and shows its views")
    func everythingStillWorks() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let first = try await world.startAgent()
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            await first.kill()

            let agent = try await world.startAgent()
            _ = try await pod.token()
            #expect(try await agent.status().hooks.values.allSatisfy { $0 == "adopted" })
            try await world.rotateNodeCertificate(agent, notAfter: Date(timeIntervalSinceNow: 86_400))
            // Made and deleted while it serves: events, look-ups by ID, and map updates.
            let later = try await world.addPod("b", serviceAccount: "app", quality: .burstable)
            _ = try await later.token()
            let dump = try await Command.require(
                [world.binaries + "/podidentd", "debug", "cgroups", "--socket", agent.adminSocket])
            #expect(dump.contains(later.uid))
            await world.deletePod(later)
            _ = try await pod.token()
            let result = await agent.stop()
            #expect(result.status == 0, "\(result.errorOutput)")
        }
    }

    @Test("security.seccomp: false leaves the filter out, and the rest as it is")
    func withoutFilter() async throws {
        try await withAgent(["security.seccomp": "false"]) { _, agent in
            let status = try Self.fields("/proc/\(Self.process(of: agent))/status")
            #expect(status["Seccomp"] == "0")
            #expect(status["NoNewPrivs"] == "1")
            #expect(status["CapEff"].flatMap { UInt64($0, radix: 16) } == Self.kept)
        }
    }

    /// The agent itself: `nsenter` becomes it.
    private static func process(of agent: AgentProcess) throws -> Int32 {
        let name = try String(contentsOfFile: "/proc/\(agent.processIdentifier)/comm", encoding: .utf8)
        try #require(name == "podidentd\n")
        return agent.processIdentifier
    }

    private static func fields(_ path: String) throws -> [String: String] {
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        return Dictionary(
            lines.compactMap { line in
                line.firstIndex(of: ":").map {
                    (String(line[..<$0]), line[$0...].dropFirst().trimmingCharacters(in: .whitespaces))
                }
            }, uniquingKeysWith: { first, _ in first })
    }
}
