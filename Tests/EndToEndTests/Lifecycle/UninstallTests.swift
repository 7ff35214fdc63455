import AgentTesting
import Foundation
import Lab
import Testing

/// `podidentd uninstall` leaves a node as it was before the first agent.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct UninstallTests {
    @Test("a stopped agent leaves the redirect; uninstall removes everything, says what, and then finds nothing")
    func stopped() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let agent = try await world.startAgent()
            let pod = try await world.addPod("a")
            #expect(try await pod.curl("/").status == 200)
            #expect(await agent.stop().status == 0)
            #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").status == 7)
            #expect(world.cluster.trap?.connections == 0)
            let programs = try await BPFObjects.pinned(below: world.pinDirectory)
            #expect(programs.links.count >= 8 && programs.programs.count >= 8 && programs.maps.count >= 6)
            #expect(try await programs.present() == programs)

            let output = try await Command.require(world.uninstallCommand)
            #expect(output.contains("links/connect4") && output.contains("nid_listeners"))
            #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
            try await programs.expectGone()
            #expect(try await Command.require(world.uninstallCommand).contains("nothing was installed"))
            // Proof that the trap can be reached, and that only the redirect stood before it.
            #expect(try await pod.curl("/").status == 200)
            #expect(world.cluster.trap?.connections == 1)
        }
    }

    @Test("what a killed agent leaves is removed with its sockets")
    func killed() async throws {
        try await withWorld { world in
            let agent = try await world.startAgent()
            let programs = try await BPFObjects.pinned(below: world.pinDirectory)
            await agent.kill()
            #expect(try Self.sockets(of: world) == ["admin.sock", "handover.sock"])
            let output = try await Command.require(world.uninstallCommand)
            #expect(output.contains("/admin.sock") && output.contains("/handover.sock"))
            #expect(try Self.sockets(of: world) == [])
            try await programs.expectGone()
        }
    }

    @Test("while an agent runs it refuses and names it; with --force it removes, and the agent still ends in order")
    func running() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let agent = try await world.startAgent()
            let pod = try await world.addPod("a")
            let programs = try await BPFObjects.pinned(below: world.pinDirectory)
            let refused = try await Command.run(world.uninstallCommand)
            #expect(refused.status != 0 && refused.errorOutput.contains("PID \(agent.processIdentifier)"), "\(refused)")
            #expect(try await programs.present() == programs)
            #expect(try await pod.curl("/").status == 200)
            #expect(world.cluster.trap?.connections == 0)

            try await Command.require(world.uninstallCommand + ["--force"])
            // The agent holds what it has attached for as long as it runs.
            #expect(try await pod.curl("/").status == 200)
            #expect(world.cluster.trap?.connections == 0)
            #expect(await agent.stop().status == 0)
            #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
            #expect(try Self.sockets(of: world) == [])
            try await programs.expectGone()
            #expect(try await pod.curl("/").status == 200)
            #expect(world.cluster.trap?.connections == 1)
        }
    }

    @Test("other pins than those of the agent that answers: it says what to name; --force leaves the agent be")
    func otherPins() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let agent = try await world.startAgent()
            let pod = try await world.addPod("a")
            let other = world.node.bpfFileSystem + "/other"
            try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: false)
            let command = world.uninstallCommand.map { $0 == world.pinDirectory ? other : $0 }
            let refused = try await Command.run(command)
            #expect(refused.status != 0, "\(refused)")
            #expect(refused.errorOutput.contains("--pin-directory") && refused.errorOutput.contains(other))
            #expect(FileManager.default.fileExists(atPath: other))

            try await Command.require(command + ["--force"])
            #expect(!FileManager.default.fileExists(atPath: other))
            #expect(try Self.sockets(of: world) == ["admin.sock", "handover.sock"])
            #expect(try await world.debug(agent, "status").status == 0)
            #expect(try await pod.curl("/").status == 200)
        }
    }

    @Test("without the sockets of a running agent, check and debug do not say that pods are refused")
    func lostSockets() async throws {
        try await withWorld { world in
            let agent = try await world.startAgent()
            for name in try Self.sockets(of: world) {
                try FileManager.default.removeItem(atPath: world.node.directory + "/" + name)
            }
            let words = "PID \(agent.processIdentifier)"
            let cgroups = try await world.debug(agent, "cgroups")
            #expect(cgroups.errorOutput.contains(words) && !cgroups.errorOutput.contains("are refused"), "\(cgroups)")
            let check = try await Command.run(
                [world.binaries + "/podidentd", "check", "--config", agent.configurationPath])
            #expect(check.output.contains(words) && !check.output.contains("refused until it runs"), "\(check)")
        }
    }

    @Test("half an installation is completed by the next agent, and removed whole", arguments: ["links", "maps-v"])
    func half(_ directory: String) async throws {
        try await withWorld { world in
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            await (try world.startAgent()).kill()
            let pod = try await world.addPod("a")
            let pins = try FileManager.default.contentsOfDirectory(atPath: world.pinDirectory)
            let half = world.pinDirectory + "/" + (try #require(pins.first { $0.hasPrefix(directory) }))
            for (number, pin) in try FileManager.default.contentsOfDirectory(atPath: half).sorted().enumerated()
            where number % 2 == 0 {
                try FileManager.default.removeItem(atPath: half + "/" + pin)
            }
            let agent = try await world.startAgent()
            #expect(try await pod.curl("/").status == 200)
            #expect(world.cluster.trap?.connections == 0)
            let programs = try await BPFObjects.pinned(below: world.pinDirectory)
            await agent.stop()
            // And again half of it, for the uninstallation.
            for (number, pin) in try FileManager.default.contentsOfDirectory(atPath: half).sorted().enumerated()
            where number % 2 == 1 {
                try FileManager.default.removeItem(atPath: half + "/" + pin)
            }
            try await Command.require(world.uninstallCommand)
            try await programs.expectGone()
        }
    }

    private static func sockets(of world: LabWorld) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: world.node.directory).filter { $0.hasSuffix(".sock") }
            .sorted()
    }
}

/// IDs of what an agent has in the kernel. IDs are not used again.
struct BPFObjects: Equatable {
    var links: Set<Int> = []
    var programs: Set<Int> = []
    var maps: Set<Int> = []

    private struct Object: Decodable {
        var id: Int
        var pinned: [String]?
        var programID: Int?
        var mapIDs: [Int]?

        enum CodingKeys: String, CodingKey {
            case id, pinned
            case programID = "prog_id"
            case mapIDs = "map_ids"
        }
    }

    /// The objects that are pinned below `directory`, and those that they hold.
    static func pinned(below directory: String) async throws -> BPFObjects {
        let links = try await list("link").filter { $0.pinned?.contains { $0.hasPrefix(directory) } ?? false }
        let programs = Set(links.compactMap(\.programID))
        let pinned = try await list("map").filter { $0.pinned?.contains { $0.hasPrefix(directory) } ?? false }
        let held = try await list("prog").filter { programs.contains($0.id) }.flatMap { $0.mapIDs ?? [] }
        return BPFObjects(
            links: Set(links.map(\.id)), programs: programs, maps: Set(pinned.map(\.id)).union(held))
    }

    /// The objects among these that exist now.
    func present() async throws -> BPFObjects {
        BPFObjects(
            links: links.intersection(try await Self.list("link").map(\.id)),
            programs: programs.intersection(try await Self.list("prog").map(\.id)),
            maps: maps.intersection(try await Self.list("map").map(\.id)))
    }

    /// The kernel frees after a grace period: asks for at most a minute.
    func expectGone() async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        var left = try await present()
        while left != BPFObjects(), ContinuousClock.now < deadline { left = try await present() }
        #expect(left == BPFObjects())
    }

    private static func list(_ kind: String) async throws -> [Object] {
        let text = try await Command.require(["bpftool", "--json", "--bpffs", kind, "list"])
        return try JSONDecoder().decode([Object].self, from: Data(text.utf8))
    }
}
