import Foundation
import Synchronization

/// Connections without end from pods that come and go, each in a network namespace of its own: who gets whose identity, what
/// passes a device, and what is left.
///
/// Every connection is a new one and asks for the UID of its own pod. In each pod two containers ask; in every fourth a
/// process of another pod has entered the network namespace and asks as well.
package struct MillionTrial: Sendable {
    package struct Result: Sendable, Equatable {
        package var connections = 0
        package var wrong = 0
        /// Refused, reset, or answered with anything else.
        package var failed = 0
        /// The first of those failures.
        package var firstFailure: String?
        /// Connections of processes that had entered another pod's network namespace.
        package var foreign = 0
        /// Pods that lived, each with a network namespace.
        package var pods = 0
        package var seconds = 0.0
        /// Connections that the agent reset for want of a tag, or for another namespace's.
        package var untagged: UInt64 = 0
        /// Connections that the kernel held because their namespace had no listener yet.
        package var held: UInt64 = 0
        package var frames = DeviceCapture.Counts()
        /// Network namespaces in which the agent still listens, but the node's own.
        package var namespacesLeft = 0
        /// Pairs of interfaces whose other end is in a network namespace that has not ended.
        package var interfacesLeft = 0

        package var isGood: Bool {
            wrong == 0 && failed == 0 && untagged == 0 && frames.exchanges == 0 && namespacesLeft == 0
                && interfacesLeft == 0
        }
    }

    /// Pods that live at the same time.
    package var slots = 110
    package var connections = 1_000_000
    /// How many connections a pod makes in its life.
    package var perLife = 1000
    private static let path = "/podidentd/v1/pod-uid"

    package init() {}

    private final class Progress: Sendable {
        let result = Mutex(Result())
    }

    /// Runs in a fresh world. `report` is called with what has been counted, now and then.
    package func run(in world: LabWorld, report: @escaping @Sendable (Result) -> Void) async throws -> Result {
        world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
        let agent = try await world.startAgent()
        let capture = try DeviceCapture(in: world.node.network)
        let progress = Progress()
        let start = ContinuousClock.now
        try await PodLives(connections).run(slots: slots, perLife: perLife) { slot, life, count in
            try await live("p\(slot)-\(life)", count, isVisited: (slot + life) % 4 == 0, world, progress)
            if slot == 0 { report(progress.result.withLock { $0 }) }
        }
        var result = progress.result.withLock { $0 }
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        try await settle(&result, agent, world)
        result.frames = capture.stop()
        await agent.stop()
        return result
    }

    /// The life of one pod.
    private func live(
        _ name: String, _ count: Int, isVisited: Bool, _ world: LabWorld, _ progress: Progress
    ) async throws {
        let pod = try await world.addPod(name)
        let visitor = isVisited ? try await world.addPod(name + "-visitor", isHostNetwork: true) : nil
        let second = pod.cgroup + world.node.layout.container(id: String(repeating: "5", count: 64))
        try FileManager.default.createDirectory(
            atPath: world.node.cgroupDirectory(second), withIntermediateDirectories: true)
        let shares =
            visitor == nil ? [count / 2, count - count / 2] : [count / 2, count - count / 2 - count / 8, count / 8]
        var commands: [(Command, isForeign: Bool)] = [
            (try pod.start(load(shares[0], pod, world)), false),
            (try pod.start(load(shares[1], pod, world), cgroup: second), false),
        ]
        if let visitor {
            let enter = ["nsenter", "--net=\(pod.network.path)", "--"]
            commands.append((try visitor.start(enter + load(shares[2], visitor, world)), true))
        }
        for (command, isForeign) in commands {
            let report = try await command.probeReport()
            progress.result.withLock { $0.add(report, isForeign: isForeign) }
        }
        progress.result.withLock { $0.pods += 1 }
        await world.deletePod(pod)
        if let visitor { await world.deletePod(visitor) }
    }

    private func load(_ count: Int, _ pod: RunningPod, _ world: LabWorld) -> [String] {
        [
            world.binaries + "/podidentd-lab", "probe", Self.path, "--exchanges", "\(count)", "--threads", "1",
            "--seconds", "600",
            "--expect", pod.uid,
        ]
    }

    /// Asks the agent, and looks at the node, until nothing is left, for at most ten seconds.
    private func settle(_ result: inout Result, _ agent: AgentProcess, _ world: LabWorld) async throws {
        let deadline = ContinuousClock.now + .seconds(10)
        repeat {
            let status = try JSON(parsing: await agent.view("/debug/status"))
            result.namespacesLeft = Int(status["namespaces"]?.integer ?? -1) - 1
            result.held = UInt64(status["kernel"]?["held"]?.integer ?? 0)
            result.untagged = ["untagged", "mismatched"].reduce(0) {
                $0 + UInt64(status["kernel"]?[$1]?.integer ?? 0)
            }
            result.untagged += UInt64(status["requests"]?["connections.reset.foreign_namespace"]?.integer ?? 0)
            let links = try await Command.require([
                "ip", "-n", world.node.network.name, "-o", "link", "show", "type", "veth",
            ])
            result.interfacesLeft = links.split(separator: "\n").count
        } while (result.namespacesLeft > 0 || result.interfacesLeft > 0) && ContinuousClock.now < deadline
    }
}

extension MillionTrial.Result {
    fileprivate mutating func add(_ report: ProbeLoad.Report, isForeign: Bool) {
        connections += report.total
        wrong += report.wrong
        let others = report.total - report.correct - report.wrong
        failed += others
        if others > 0, firstFailure == nil { firstFailure = "\(report)" }
        if let body = report.firstWrong, firstFailure == nil { firstFailure = "wrong: \(body)" }
        if isForeign { foreign += report.total }
    }

    /// The result in one line.
    package var line: String {
        let rate = seconds > 0 ? ", \(Int(Double(connections) / seconds))/s" : ""
        return
            "\(connections) connections of \(pods) pods, \(foreign) by foreign entrants\(rate): \(wrong) wrong, \(failed) failed"
    }

    /// Namespaces that were left, and frames that were captured, in words.
    package var rest: String {
        "untagged \(untagged), held \(held); \(frames.exchanges) of \(frames.frames) frames on devices belong to an exchange; "
            + "left: \(namespacesLeft) namespaces with listeners, \(interfacesLeft) interfaces"
            + (firstFailure.map { "; first failure: \($0)" } ?? "")
    }
}

extension Command {
    /// Reads the report of one load of the probe.
    fileprivate func probeReport() async throws -> ProbeLoad.Report {
        let result = await result()
        guard result.succeeded else { throw LabError("the load ended with \(result.status): \(result.errorOutput)") }
        return try JSONDecoder().decode(ProbeLoad.Report.self, from: Data(result.output.utf8))
    }
}
