import Foundation

/// R21 and D7: what the layout of the node's cgroups leaves open, or costs.
extension AttackSuite {
    /// More than the event thread may be woken for what others do meanwhile.
    private static let wakeUpsMax = 100

    var layouts: [Attack] {
        let place = "\(world.node.layout) layout, \(world.node.layout.depth) levels deep"
        return [
            Attack("R21", .unprivileged, "connect(), on the node's network: \(place)", .ownIdentity, own: stage.onHost)
            {
                try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: stage.onHost)
            },
            Attack("R21", .ordinary, "the same as a pod of a second kubelet's tree", .nothing) {
                try await inOtherTree(["connect", "plain"] + Self.metadata)
            },
            Attack("R21", .ordinary, "a raw packet as a pod of a second kubelet's tree", .nothing) {
                try await inOtherTree(["raw", "whole", LabNode.address] + Self.metadata)
            },
            Attack("D7", .ordinary, "20,000 cgroups below its container", .text("made 20000, the agent slept")) {
                let before = try wakeUps()
                let base = world.node.cgroupDirectory(mallory.containerCgroup)
                let output = try await stage.got(["churn", base, "20000"], .ordinary)
                let woken = try wakeUps() - before
                return output.trimmingCharacters(in: .newlines)
                    + (woken <= Self.wakeUpsMax ? ", the agent slept" : ", the agent was woken \(woken) times")
            },
        ]
    }

    /// Runs the attack program in a tree as the kubelet's other cgroup driver makes it, as soon as the agent has seen
    /// the tree. The agent has it from the kernel, as a kubelet's pods start later than their tree.
    private func inOtherTree(_ arguments: [String]) async throws -> String {
        let base = world.node.layout.depth > 0 ? "" : "/\(world.node.identifier)"
        let tree = base + "/second.slice/second-kubepods.slice"
        let pod = tree + "/second-kubepods-pod\(target.uid.replacing("-", with: "_")).slice"
        let log = try stage.agent.log
        try FileManager.default.createDirectory(
            atPath: world.node.cgroupDirectory(pod), withIntermediateDirectories: true)
        do {
            try await log.first(within: .seconds(60)) { $0.contains("another kubepods cgroup") && $0.contains(tree) }
        } catch {
            throw AttackNotMounted("the agent did not see \(tree)")
        }
        let command = world.node.command(inCgroup: pod) + [try Attacker.program()]
        return try AttackStage.output(of: await Command.run(command + arguments))
    }

    /// How often the agent's thread of cgroup events was woken so far.
    private func wakeUps() throws -> Int {
        let tasks = "/proc/\(try stage.agent.processIdentifier)/task"
        for task in try FileManager.default.contentsOfDirectory(atPath: tasks) {
            let status = try String(contentsOfFile: "\(tasks)/\(task)/status", encoding: .utf8)
            let fields = status.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
            guard fields.first?.last == "cgroup-events" else { continue }
            let count = fields.first { $0.first == "voluntary_ctxt_switches:" }?.last.flatMap { Int($0) }
            if let count { return count }
        }
        throw AttackNotMounted("the agent has no thread of cgroup events")
    }
}
