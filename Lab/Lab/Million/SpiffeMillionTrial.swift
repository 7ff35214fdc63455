import Foundation
import Synchronization

/// Calls of the SPIFFE endpoint without end from pods that come and go: whose identity each answer has.
///
/// Every pod of a place has the name of its predecessor and another UID, which its JWT-SVIDs must name. In every fourth a process
/// of another pod has entered the network namespace, and asks as well.
package struct SpiffeMillionTrial: Sendable {
    package struct Result: Sendable, Equatable {
        package var load = WorkloadLoad.Report()
        package var pods = 0
        package var foreign = 0
        package var seconds = 0.0

        package var isGood: Bool { load.wrong == 0 && load.failed == 0 }

        /// The result in one line.
        package var line: String {
            let rate = seconds > 0 ? ", \(Int(Double(load.calls) / seconds))/s" : ""
            return "\(load.calls) calls of \(pods) pods, \(foreign) by foreign entrants\(rate): \(load.wrong) wrong, "
                + "\(load.failed) failed" + (load.firstFailure.map { "; first: \($0)" } ?? "")
        }
    }

    /// Pods that live at the same time.
    package var slots = 110
    package var calls = 1_000_000
    /// How many calls a pod makes in its life.
    package var perLife = 1000

    package init() {}

    private final class Progress: Sendable {
        let result = Mutex(Result())
    }

    /// Runs in a fresh world. `report` is called with what has been counted, now and then.
    package func run(in world: LabWorld, report: @escaping @Sendable (Result) -> Void) async throws -> Result {
        let signer = try await LabSigner.start(in: world, options: ["--node-rate", "0"])
        let agent = try await world.startAgent(signer.agentConfiguration)
        let progress = Progress()
        let start = ContinuousClock.now
        for name in (0..<slots).flatMap({ ["p\($0)", "v\($0)"] }) {
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: name)
        }
        try await PodLives(calls).run(slots: slots, perLife: perLife) { slot, life, count in
            try await live(slot, count, isVisited: (slot + life) % 4 == 0, world, progress)
            if slot == 0 { report(progress.result.withLock { $0 }) }
        }
        var result = progress.result.withLock { $0 }
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        await agent.stop()
        await signer.stop()
        return result
    }

    /// The life of one pod, whose name the next of this place has again.
    private func live(
        _ slot: Int, _ count: Int, isVisited: Bool, _ world: LabWorld, _ progress: Progress
    ) async throws {
        let pod = try await world.addPod("p\(slot)", serviceAccount: "p\(slot)")
        let visitor =
            isVisited ? try await world.addPod("v\(slot)", serviceAccount: "v\(slot)", isHostNetwork: true) : nil
        let foreign = visitor == nil ? 0 : count / 8
        var commands = [(try pod.start(load(count - foreign, pod, world)), isForeign: false)]
        if let visitor, foreign > 0 {
            let enter = ["nsenter", "--net=\(pod.network.path)", "--"]
            commands.append((try visitor.start(enter + load(foreign, visitor, world)), true))
        }
        for (command, isForeign) in commands {
            let output = await command.result()
            guard output.succeeded else { throw LabError("the load ended: \(output.errorOutput)") }
            let report = try JSONDecoder().decode(WorkloadLoad.Report.self, from: Data(output.output.utf8))
            progress.result.withLock { result in
                result.load.add(report)
                if isForeign { result.foreign += report.calls }
            }
        }
        progress.result.withLock { $0.pods += 1 }
        await world.deletePod(pod)
        if let visitor { await world.deletePod(visitor) }
    }

    private func load(_ count: Int, _ pod: RunningPod, _ world: LabWorld) -> [String] {
        [
            world.binaries + "/podidentd-lab", "workload-load", "--calls", "\(count)", "--per-connection", "200",
            "--expect-id", LabSigner.id("default", pod.name), "--expect-pod", pod.uid,
        ]
    }
}
