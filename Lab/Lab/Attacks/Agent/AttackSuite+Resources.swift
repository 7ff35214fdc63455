import Foundation

/// D2, D3, D4, D6, D9, D10: what many connections of greedy pods could take from the other pods, or from the agent.
extension AttackSuite {
    /// Pods that press at the same time. They share the node's network namespace, which makes them cheap; each has cgroups
    /// and connections of its own.
    private static let greedyPods = 72
    /// The memory that the agent may need for all unfinished requests together. A debug build needs some times what a
    /// release needs.
    private static let growthLimit = 64 << 20
    /// The most that the kernel may keep of the bytes that one pod sent and the agent has not read.
    private static let unreadLimit = 4 << 20

    var resources: [Attack] {
        [keptConnections, unfinishedHeads, bytesBehindWatches, newQueries, pressingPods, sharedQueue]
    }

    private var keptConnections: Attack {
        Attack("D9", .unprivileged, "260 connections kept after an answer, then a request on another", .ownIdentity) {
            try await stage.got(["kept"] + Self.metadata + ["260"], .unprivileged)
        }
    }

    private var unfinishedHeads: Attack {
        Attack(
            "D2", .unprivileged, "16 pods, 256 connections each, unfinished heads of 31 KiB", .text("bounded"),
            leastAnswers: 50
        ) {
            let agent = try stage.agent.processIdentifier
            let before = try AgentMemory(of: agent)
            try AgentMemory.forgetPeak(of: agent)
            _ = try await press(16, ["load", "heads"] + Self.metadata + ["256", "3"])
            let growth = try AgentMemory(of: agent).peak - before.resident
            return (growth < Self.growthLimit ? "bounded" : "NOT BOUNDED") + ": the agent grew by \(growth >> 20) MiB"
        }
    }

    private var bytesBehindWatches: Attack {
        Attack(
            "D3", .unprivileged, "256 held requests with 256 KiB behind each, then the end of the process",
            .text("bounded"), leastAnswers: 50
        ) {
            let load = try mallory.attack(["load", "watch"] + Self.metadata + ["256", "2"], as: .unprivileged)
            _ = try await stage.began(load, "holding")
            var most = 0
            while load.isRunning { most = max(most, try await unreadBytes()) }
            _ = try AttackStage.output(of: await load.result())
            let deadline = ContinuousClock.now + .seconds(60)
            var rest = try await unreadBytes()
            while rest > 64 << 10, ContinuousClock.now < deadline { rest = try await unreadBytes() }
            return (most < Self.unreadLimit && rest <= 64 << 10 ? "bounded" : "NOT BOUNDED")
                + ": the kernel kept \(most >> 10) KiB, and \(rest >> 10) KiB after the end"
        }
    }

    /// Bytes that the kernel keeps for the attacker's connections to the agent.
    private func unreadBytes() async throws -> Int {
        let table = try await Command.require(["nsenter", "--net=\(mallory.network.path)", "cat", "/proc/net/tcp"])
        let port = ":" + String(AgentProcess.port, radix: 16).uppercased()
        return table.split(separator: "\n").dropFirst().reduce(0) { sum, line in
            let fields = line.split(separator: " ")
            // 0A is a listening socket, whose queue counts connections.
            guard fields.count > 4, fields[1].hasSuffix(port), fields[3] != "0A" else { return sum }
            return sum + (fields[4].split(separator: ":").last.flatMap { Int($0, radix: 16) } ?? 0)
        }
    }

    private var newQueries: Attack {
        Attack(
            "D6", .unprivileged, "ever new queries for a cached token, on 32 connections", .nothing, leastAnswers: 200
        ) {
            try await stage.got(["load", "queries"] + Self.metadata + ["32", "3"], .unprivileged)
        }
    }

    private var pressingPods: Attack {
        Attack(
            "D4", .unprivileged, "\(Self.greedyPods) pods press for connections, and a new pod asks", .text("served"),
            leastAnswers: 50
        ) {
            let greedy = try await pods(Self.greedyPods)
            let loads = try greedy.map {
                try $0.attack(["load", "held"] + Self.metadata + ["64", "4"], as: .unprivileged)
            }
            let new = try await world.addPod("new-\(UInt16.random(in: 0...UInt16.max))", namespace: "mallory")
            for load in loads { _ = try await stage.began(load, "holding") }
            let outputs = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<3 {
                    group.addTask { try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: new) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for load in loads { _ = await load.result() }
            for pod in greedy + [new] { await world.deletePod(pod) }
            let served = outputs.count { Loot($0, world: world).owners == [new.uid] }
            return served == outputs.count
                ? "served: the new pod, \(served) times"
                : "NOT SERVED: \(served) of \(outputs.count); " + outputs.map { $0.prefix(40) }.joined(separator: "; ")
        }
    }

    /// The pods of the node's network namespace have one queue of connections that the agent has not accepted, of 4,096
    /// places. It does not accept while it is stopped.
    private var sharedQueue: Attack {
        Attack(
            "D10", .unprivileged, "5,000 connects of a hostNetwork pod to a stopped agent, then one of another",
            .text("served"), victim: .refused, leastAnswers: 1
        ) {
            let other = try await world.addPod(
                "on-host-too-\(UInt16.random(in: 0...UInt16.max))", namespace: "mallory", isHostNetwork: true)
            let process = try stage.agent.processIdentifier
            kill(process, SIGSTOP)
            defer { kill(process, SIGCONT) }
            let greedy = try await stage.began(
                stage.onHost.attack(["queue"] + Self.metadata + ["5000"], as: .unprivileged), "holding")
            let one = try await stage.began(
                other.attack(["queue"] + Self.metadata + ["1"], as: .unprivileged), "holding")
            kill(process, SIGCONT)
            greedy.signal(SIGKILL)
            one.signal(SIGUSR1)
            let output = try AttackStage.output(of: await one.result())
            _ = await greedy.result()
            await world.deletePod(other)
            let counts = greedy.errorLines.events.first ?? ""
            return (Loot(output, world: world).owners == [other.uid] ? "served" : "NOT SERVED: \(output.prefix(60))")
                + ", of the first pod \(counts)"
        }
    }

    private func pods(_ count: Int) async throws -> [RunningPod] {
        var pods: [RunningPod] = []
        for number in 0..<count {
            pods.append(
                try await world.addPod(
                    "greedy-\(number)-\(UInt16.random(in: 0...UInt16.max))", namespace: "mallory", isHostNetwork: true))
        }
        return pods
    }

    /// Runs the attack in as many pods at the same time, and removes them afterwards.
    private func press(_ count: Int, _ arguments: [String]) async throws -> [String] {
        let greedy = try await pods(count)
        let loads = try greedy.map { try $0.attack(arguments, as: .unprivileged) }
        var outputs: [String] = []
        for load in loads { outputs.append(try AttackStage.output(of: await load.result())) }
        for pod in greedy { await world.deletePod(pod) }
        return outputs
    }
}
