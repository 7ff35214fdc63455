import AgentTesting
import Foundation
import Lab
import Testing

/// The agent as the overlay `kubeadm-hardened` runs it: the rendered manifest's capabilities, seccomp profile and
/// read-only root, by a real container runtime.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct HardenedTests {
    private static let manifest = "deploy/golden/kubeadm-hardened.yaml"

    /// The steps between `nsenter` and the agent: a container that is given the lab's directory and the programs.
    private static func container(in world: LabWorld, manifest: String = manifest) -> [String] {
        [
            ".build/deploy/venv/bin/python", "deploy/tests/as-container", "--manifest", manifest,
            "--seccomp", "deploy/components/hardened/seccomp.json", "--bind", world.node.directory,
            "--bind", world.binaries + ":" + world.binaries + ":ro", "--",
        ]
    }

    /// Where the manifest mounts the host's cgroups.
    private static let changes: [String: String?] = ["cgroup.mount-point": "/host/sys/fs/cgroup"]

    /// The same, with the listener of the manifest's probes.
    private static var probed: [String: String?] {
        changes.merging(["metrics.address": "127.0.0.1", "metrics.port": "9255"]) { $1 }
    }

    @Test("with exactly the capabilities of the hardened overlay the agent serves, adopts its hooks, and serves again")
    func serves() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let pod = try await world.addPod("a")
            for start in ["attached", "adopted"] {
                let agent = try world.launchAgent(Self.changes, prefix: Self.container(in: world))
                try await agent.waitUntilReady(within: .seconds(60))
                #expect(try await pod.token().accessToken.hasPrefix("ya29."))
                let hooks = agent.log.events.filter { $0.contains("hook in place") }
                #expect(!hooks.isEmpty && hooks.allSatisfy { $0.contains("origin=\(start)") }, "\(hooks)")
                #expect(agent.log.events.contains { $0.contains("cgroup-events=tracepoints") })
                #expect(!agent.log.events.contains { $0.contains("no guard") })
                let rights = try Self.rights(ofAgentBelow: agent.processIdentifier)
                // DAC_READ_SEARCH (2), NET_ADMIN (12), PERFMON (38) and BPF (39).
                #expect(rights["CapEff"] == "000000c000001004")
                #expect(rights["CapPrm"] == "000000c000001004")
                // The runtime's rights, for the opener as well; no_new_privs keeps the agent from them.
                #expect(rights["CapBnd"] == "000000c000281404")
                #expect(rights["NoNewPrivs"] == "1")
                // The manifest's profile, and below it the agent's own three.
                #expect(rights["Seccomp"] == "2")
                #expect(rights["Seccomp_filters"] == "4")
                let stopped = await agent.stop()
                #expect(stopped.status == 0, "\(stopped.errorOutput)")
            }
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("an agent in a container of its own takes over from the one that runs, as in the DaemonSet's surge")
    func takesOver() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let pod = try await world.addPod("a")
            let first = try world.launchAgent(Self.probed, prefix: Self.container(in: world))
            try await first.waitUntilReady(within: .seconds(60))
            _ = try await pod.token()
            let second = try world.launchAgent(Self.probed, prefix: Self.container(in: world))
            try await second.waitUntilReady(within: .seconds(60))
            #expect(second.log.events.contains { $0.contains("took over from the agent that ran") })
            let ended = await first.result()
            #expect(ended.status == 0, "\(ended.errorOutput)")
            #expect(try await pod.token().accessToken.hasPrefix("ya29."))
            // The listener has gone to the second, too: what the manifest's probes ask, where they ask it.
            for path in ["/livez", "/readyz"] {
                let answer = try await Command.require([
                    "nsenter", "--net=\(world.node.network.path)", "--", "curl", "-s", "-o", "/dev/null", "-w",
                    "%{http_code}", "--retry", "5", "--retry-connrefused", "http://127.0.0.1:9255\(path)",
                ])
                #expect(answer == "200", "\(path)")
            }
            await second.stop()
        }
    }

    @Test("without one of its capabilities the agent does not start", arguments: ["BPF", "PERFMON", "NET_ADMIN"])
    func everyCapabilityCounts(_ capability: String) async throws {
        try await withWorld { world in
            let text = try String(contentsOfFile: Self.manifest, encoding: .utf8)
            let less = text.split(separator: "\n", omittingEmptySubsequences: false)
                .filter { $0.trimmingCharacters(in: .whitespaces) != "- \(capability)" }.joined(separator: "\n")
            #expect(less != text)
            let manifest = world.node.directory + "/manifest.yaml"
            try less.write(toFile: manifest, atomically: true, encoding: .utf8)
            let agent = try world.launchAgent(
                Self.changes, prefix: Self.container(in: world, manifest: manifest))
            let result = await agent.result()
            #expect(result.status != 0)
            #expect(result.errorOutput.contains("Error: cannot"), "\(result.errorOutput)")
            #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
        }
    }

    /// The kernel's view of the agent's process, which is a descendant of the one that the lab started.
    private static func rights(ofAgentBelow ancestor: Int32) throws -> [String: String] {
        var pending = [ancestor]
        while let process = pending.popLast() {
            let directory = "/proc/\(process)"
            if (try? FileManager.default.destinationOfSymbolicLink(atPath: directory + "/exe"))?
                .hasSuffix("/podidentd") == true
            {
                let lines = try String(contentsOfFile: directory + "/status", encoding: .utf8).split(separator: "\n")
                let fields = lines.map { $0.split(separator: ":", maxSplits: 1) }.filter { $0.count == 2 }
                return Dictionary(
                    fields.map { (String($0[0]), $0[1].trimmingCharacters(in: .whitespaces)) },
                    uniquingKeysWith: { first, _ in first })
            }
            let children = try String(contentsOfFile: directory + "/task/\(process)/children", encoding: .utf8)
            pending += children.split(separator: " ").compactMap { Int32($0) }
        }
        throw LabError("no process of the agent below \(ancestor)")
    }
}
