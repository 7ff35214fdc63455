import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// D1: tenants write pods whose JSON is six times as long as what etcd keeps.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct LargeObjectTests {
    /// Peak memory may grow by this much, in KiB, where the objects are six times 8.4 MB: buffers of the connection, and what
    /// a busy machine's allocator keeps beside them.
    private static let memoryBound = 16 * 1024

    @Test("six pods of 8.4 MB in the API: the watch goes on, a new agent serves them and all others, memory stays")
    func blownUp() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let first = try await world.startAgent()
            let small = try await world.addPod("small", serviceAccount: "app")
            #expect(try world.owner(of: try await small.ask()).subject.podUID == small.uid)
            let quiet = try first.peakMemory()

            var large: [RunningPod] = []
            for number in 1...6 { large.append(try await world.addPod("large-\(number)", serviceAccount: "app")) }
            for pod in large { world.blowUp(pod, count: 1_400_000) }
            // A pod behind the large events in the watch is served.
            let next = try await world.addPod("next", serviceAccount: "app")
            for pod in [next, small] + large {
                let answer = try await pod.ask(within: .seconds(60)) { $0.status == 200 }.answer
                #expect(try world.owner(of: answer).subject.podUID == pod.uid)
            }
            let status = try await first.status()
            #expect(status.incidents.filter { $0.key.hasPrefix("pods.watch_") }.isEmpty)
            #expect(status.incidents["pods.list_failed"] == 0 && status.incidents["pods.too_large"] == 0)
            #expect(try first.peakMemory() - quiet <= Self.memoryBound, "\(quiet) KiB before")
            await first.kill()

            let second = try await world.startAgent()
            for pod in [next, small] + large {
                let answer = try await pod.ask(within: .seconds(60)) { $0.status == 200 }.answer
                #expect(try world.owner(of: answer).subject.podUID == pod.uid)
            }
            #expect(try await second.status().incidents["pods.list_failed"] == 0)
            let peak = try second.peakMemory()
            #expect(peak - quiet <= Self.memoryBound, "\(quiet) KiB before, \(peak) KiB after")
            print("peak memory: \(quiet) KiB with small pods, \(peak) KiB with six of 8.4 MB")
            await second.stop()
        }
    }

    @Test("a pod beyond the API server's own limit is refused alone, with one line, a counter and a reason")
    func beyondTheLimit() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let small = try await world.addPod("small", serviceAccount: "app")
            let large = try await world.addPod("large", serviceAccount: "app")
            world.blowUp(large, count: 1_600_000)
            let agent = try await world.startAgent()
            for _ in 0..<2 {
                let refusal = try await large.ask()
                #expect(refusal.status == 503)
                #expect(refusal.body.contains("default/large") && refusal.body.contains("too large"))
                #expect(try world.owner(of: try await small.ask()).subject.podUID == small.uid)
            }
            // A pod that the watch never shows has the pods listed once more: the log says nothing twice.
            let unknown = try await world.node.addPod(RunningPodSpecification(name: "unknown"))
            #expect(try await unknown.ask().status == 503)
            let incidents = try await agent.status().incidents
            #expect(incidents["pods.too_large", default: 0] >= 2 && incidents["pods.list_failed"] == 0)
            #expect(agent.log.events.count { $0.contains("pod object too large to be read") } == 1)
            let explanation = try await Command.run([
                world.binaries + "/podidentd", "debug", "explain", "default/large", "--socket", agent.adminSocket,
            ])
            #expect(explanation.output.contains("larger than the 9437184 bytes"))

            world.blowUp(large, count: 1)
            try await agent.settled { $0.pods >= 2 }
            let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
            while try await large.ask().status == 503, ContinuousClock.now < deadline {}
            #expect(try world.owner(of: try await large.ask()).subject.podUID == large.uid)
            await agent.stop()
        }
    }
}

extension LabWorld {
    /// Gives a pod an environment of so many `<`.
    fileprivate func blowUp(_ pod: RunningPod, count: Int) {
        let value = JSON.repeated("<", count: count)
        cluster.kubernetes.updatePod(namespace: pod.specification.namespace, name: pod.name) {
            $0.environmentValue = value
        }
    }
}

extension AgentProcess {
    /// The most that was resident at any time, in KiB.
    fileprivate func peakMemory() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(processIdentifier)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        guard let words = line?.split(whereSeparator: { " \t".contains($0) }), words.count == 3,
            let size = Int(words[1])
        else { throw LabError("no VmHWM in \(status)") }
        return size
    }
}
