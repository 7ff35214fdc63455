import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// Neighbours on a node, as the agent and `podidentd check` see it.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct NeighbourTests {
    @Test(
        "a second kubepods tree is refused, reported, and makes the check degraded",
        arguments: [CgroupLayout.cgroupfs, .nested])
    func otherTree(layout: CgroupLayout) async throws {
        try await withAgent(layout: layout) { world, agent in
            // As a kubelet makes it whose cgroup driver was changed: a hostNetwork pod is still in it.
            let base = layout.depth > 0 ? "/kubelet.slice" : "/\(world.node.identifier)"
            let tree = base + (layout.depth > 0 ? "/kubelet-kubepods.slice" : "/kubepods.slice")
            let slice = layout.depth > 0 ? "kubelet-kubepods" : "kubepods"
            let pod = "\(tree)/\(slice)-pod\(UUID().uuidString.lowercased().replacing("-", with: "_")).slice"
            // Outside of a namespace the machine may have trees of its own.
            let before = try await Self.item("cgroups.other-kubepods", world)
            #expect(!before.found.contains(tree) && (before.state == .ok || layout.depth == 0), "\(before)")
            try FileManager.default.createDirectory(
                atPath: world.node.cgroupDirectory(pod), withIntermediateDirectories: true)
            try await agent.log.first { $0.contains("another kubepods cgroup") && $0.contains(tree) }
            func curl() async throws -> Int32 {
                let curl = ["curl", "-s", "--max-time", "60", "http://169.254.169.254/"]
                return try await Command.run(world.node.command(inCgroup: pod) + curl).status
            }
            #expect(try await curl() == 7)
            let found = try await Self.item("cgroups.other-kubepods", world)
            #expect(found.state == .degraded && found.found.contains("\(tree) (systemd, empty)"), "\(found)")
            for words in ["cgroup driver", "reboot", "cgroup.kubepods"] { #expect(found.meaning.contains(words)) }
            // The next agent knows it from its first moment.
            await agent.stop()
            let next = try await world.startAgent()
            #expect(try await curl() == 7)
            #expect(try await next.status().kernel["refused_other_tree"] == 2)
            #expect(world.cluster.trap?.connections == 0)
            await next.stop()
        }
    }

    @Test("a program that is attached to the node's root exclusively is named by the check")
    func exclusiveProgram() async throws {
        try await withWorld(layout: .nested) { world in
            let pin = world.node.bpfFileSystem + "/foreign"
            let place = world.node.cgroupDirectory("")
            try await Command.require(["bpftool", "prog", "load", "bpf/build/foreign.bpf.o", pin])
            try await Command.require(["bpftool", "cgroup", "attach", place, "connect4", "pinned", pin])
            let found = try await Self.item("hooks.exclusive", world)
            #expect(found.state == .degraded && found.found.contains("'foreign_connect'"), "\(found)")
            #expect(found.meaning.contains("bpftool cgroup detach \(world.node.cgroupMountPoint)"), "\(found)")
            let failed = try await world.launchAgent().result()
            #expect(failed.status != 0)
            // The agent may not read its name, but says how to.
            for words in ["at cgroup_inet4_connect of this cgroup without BPF_F_ALLOW_MULTI", "bpftool prog show id"] {
                #expect(failed.errorOutput.contains(words), "\(failed.errorOutput)")
            }
            try await Command.require(["bpftool", "cgroup", "detach", place, "connect4", "pinned", pin])
            try await world.startAgent().stop()
        }
    }

    /// The verdict of the check, run as a process of the node.
    private static func item(_ id: String, _ world: LabWorld) async throws -> Posture.Item {
        try world.writeAgentConfiguration()
        let command = [world.binaries + "/podidentd", "check", "--output", "json", "--config"]
        let result = try await Command.run(
            world.node.processCommand + command + [world.agentConfigurationPath])
        let posture = try JSONDecoder().decode(Posture.self, from: Data(result.output.utf8))
        return try #require(posture.sections.flatMap(\.items).first { $0.id == id }, "no item \(id)")
    }
}
