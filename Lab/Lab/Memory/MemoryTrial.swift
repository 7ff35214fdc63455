import Foundation

/// The memory that an agent needs when every pod of its node takes all that the limits allow, within a memory limit.
package struct MemoryTrial: Sendable {
    /// A way in which all pods press at the same time.
    package enum Pressure: String, Sendable, CaseIterable {
        case nothing = "idle"
        case silent = "idle connections"
        case heads = "heads"
        case watches = "watch"
        case unread = "slow-read"
        case pipelines = "pipeline"

        /// The kind of load that the attack program makes.
        fileprivate var load: String? {
            switch self {
            case .nothing: nil
            case .silent: "idle"
            case .heads, .watches, .unread, .pipelines: rawValue
            }
        }

        package var text: String {
            switch self {
            case .nothing: "every pod has its token, nothing else"
            case .silent: "connections that say nothing"
            case .heads: "unfinished heads of 31 KiB"
            case .watches: "held requests with 256 KiB behind each"
            case .unread: "60 answers of each connection unread"
            case .pipelines: "requests without end"
            }
        }
    }

    /// The memory that one kind of pressure took.
    package struct Row: Sendable {
        package let pressure: Pressure
        /// The memory in bytes, as cgroup v2 counts: the process, its kernel objects and its sockets' buffers.
        package var peak = 0
        /// The sockets' buffers among those.
        package var sockets = 0
        /// The process alone.
        package var resident = 0
        package var connections = 0
        /// Whether a pod that did nothing else got its token meanwhile, how often of how many times.
        package var served = 0
        package var asked = 0
        /// Whether that pod got its token again within 30 s of the pressure's end.
        package var isServedAfterwards = false
        /// Whether the kernel killed the agent.
        package var isKilled = false
    }

    package var pods = 110
    /// The connections that each pod tries to hold at the same time.
    package var connections = 64
    package var limit = 192 << 20
    package var seconds = 4

    package init() {}

    /// Runs every kind of pressure against an agent of its own.
    package func run(
        keys: LabCluster.Keys, _ pressures: [Pressure] = Pressure.allCases, report: (Row) -> Void
    ) async throws -> [Row] {
        var rows: [Row] = []
        for pressure in pressures {
            let row = try await LabWorld.with(keys: keys) { try await run(pressure, in: $0) }
            rows.append(row)
            report(row)
        }
        return rows
    }

    private func run(_ pressure: Pressure, in world: LabWorld) async throws -> Row {
        world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
        let limit = try MemoryLimit(bytes: limit, name: world.node.identifier)
        defer { limit.remove() }
        let agent = try world.launchAgent(prefix: limit.prefix)
        try await agent.waitUntilReady()
        let bystander = try await world.addPod("bystander")
        var greedy: [RunningPod] = []
        for number in 0..<pods { greedy.append(try await world.addPod("pod-\(number)")) }
        for pod in greedy + [bystander] { _ = try await ask(pod, world) }
        let loads = try pressure.load.map { load in
            try greedy.map { pod in
                try pod.attack(
                    ["load", load, LabNode.metadataAddress, "80", "\(connections)", "\(seconds)"], as: .unprivileged)
            }
        }
        var row = Row(pressure: pressure)
        let end = ContinuousClock.now + .seconds(seconds)
        repeat {
            let usage = try limit.usage()
            row.peak = max(row.peak, usage.total)
            row.sockets = max(row.sockets, usage.sockets)
            row.resident = max(row.resident, (try? AgentMemory(of: agent.processIdentifier).peak) ?? 0)
            row.isKilled = try limit.kills() > 0
            guard !row.isKilled else { break }
            row.connections = max(row.connections, Self.connections(of: agent))
            row.asked += 1
            if try await ask(bystander, world) { row.served += 1 }
        } while ContinuousClock.now < end
        for load in loads ?? [] { load.signal(SIGKILL) }
        for load in loads ?? [] { _ = await load.result() }
        row.peak = max(row.peak, try limit.peakBytes())
        row.isKilled = try limit.kills() > 0
        // Connections of pods that are gone may still wait before it.
        let recovered = ContinuousClock.now + .seconds(30)
        repeat {
            row.isServedAfterwards = try await ask(bystander, world)
        } while !row.isServedAfterwards && ContinuousClock.now < recovered
        await agent.kill()
        return row
    }

    /// Whether the pod gets its token on a new connection.
    private func ask(_ pod: RunningPod, _ world: LabWorld) async throws -> Bool {
        let result = try await pod.attack(
            ["connect", "plain", LabNode.metadataAddress, "80"], as: .unprivileged
        ).result()
        return Loot(result.output, world: world).owners == [pod.uid]
    }

    /// Sockets that the agent has open.
    private static func connections(of agent: AgentProcess) -> Int {
        let directory = "/proc/\(agent.processIdentifier)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.count { name in
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\(name)"))?
                .hasPrefix("socket:") == true
        }
    }
}

extension MemoryTrial.Row {
    package static let header = """
        | all pods at once | peak MiB | of it sockets' buffers | resident MiB | connections | another pod was served | |
        |---|---|---|---|---|---|---|
        """

    package var line: String {
        "| \(pressure.text) | \(peak >> 20) | \(sockets >> 20) | \(resident >> 20) | \(connections) "
            + "| \(served) of \(asked) | \(isKilled ? "KILLED" : "") |"
    }
}
