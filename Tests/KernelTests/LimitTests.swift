import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Limits: one pod takes nothing from the others.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct LimitTests {
    private static let connect = ["connect", "plain", LabNode.metadataAddress, "80"]

    @Test("200,000 connects from two threads are the pod's or no pod's, and keep its neighbour from nothing")
    func flood() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("hostile")
            let victim = try await lab.addPod("victim")
            let (mine, other) = (try lab.podID(pod).rawValue, try lab.podID(victim).rawValue)
            let flood = try pod.attack(["flood", LabNode.metadataAddress, "80", "200000", "2"], as: .unprivileged)
            let request = try victim.attack(Self.connect, as: .unprivileged)
            var (tagged, isServed) = (0, false)
            while let connection = try lab.listeners.accept(within: flood.isRunning ? 1000 : 10) {
                let tag = lab.datapath.tag(ofAcceptedSocket: connection)
                close(connection)
                if tag?.ancestors[1] == other { isServed = true } else { tagged += tag == nil ? 0 : 1 }
                #expect(tag == nil || tag?.ancestors[1] == mine || tag?.ancestors[1] == other)
            }
            let result = await flood.result()
            #expect(result.output.contains("begun"))
            _ = await request.result()
            #expect(isServed)
            let counters = try lab.datapath.counters()
            #expect(counters["redirected"] == 200_001)
            #expect(counters["tagged"] == UInt64(tagged) + 1)
            // Connections that had ended before they were accepted, and those of them whose port was used again by then.
            let accepted = counters["tagged"] + counters["untagged"] + counters["mismatched"]
            #expect(accepted <= 200_001)
        }
    }

    @Test("in the node's namespace no pod takes more than its part of the one queue, and has it again when served")
    func sharedQueue() async throws {
        try await withGuards { lab in
            let greedy = try await lab.node.addPod(RunningPodSpecification(name: "greedy", isHostNetwork: true))
            let other = try await lab.node.addPod(RunningPodSpecification(name: "other", isHostNetwork: true))
            try lab.refreshKubepods()
            let node = try lab.listeners.open(in: lab.node.network)
            try lab.datapath.setNode(node, agentCgroup: try lab.podID(other))
            func begun(
                _ pod: RunningPod, _ count: Int
            ) async throws -> (command: Command, connected: Int, refused: Int) {
                let command = try pod.attack(
                    ["queue", LabNode.metadataAddress, "80", "\(count)"], as: .unprivileged)
                let lines = try await command.errorLines.wait(within: .seconds(60)) { $0.contains("holding") }
                let numbers = lines[0].split(separator: " ").compactMap { Int($0) }
                return (command, numbers[0], numbers[1])
            }
            // No connection is accepted. The queue has 4,096 places, and a window in which 256 are counted is a second.
            let first = try await begun(greedy, 5000)
            #expect(first.connected >= 256 && first.connected < 4096 && first.connected + first.refused == 5000)
            #expect(try lab.count("refused_waiting") == UInt64(first.refused))
            let second = try await begun(other, 1)
            #expect(second.connected == 1)
            for expected in Array(repeating: greedy, count: first.connected) + [other] {
                let connection = try lab.accept()
                let tag = try #require(lab.datapath.tag(ofAcceptedSocket: connection))
                let id = try lab.podID(expected).rawValue
                #expect(tag.ancestors.indices.contains { tag.ancestors[$0] == id })
                close(connection)
            }
            let again = try await begun(greedy, 1)
            #expect(again.connected == 1)
            for command in [first.command, second.command, again.command] {
                command.signal(SIGKILL)
                _ = await command.result()
            }
        }
    }

    @Test("a pod that names the agent's port in the node's namespace itself takes no place of the one queue")
    func uninvited() async throws {
        try await withGuards { lab in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "greedy", isHostNetwork: true))
            try lab.refreshKubepods()
            let node = try lab.listeners.open(in: lab.node.network)
            try lab.datapath.setNode(node, agentCgroup: try lab.podID(pod))
            let port = "\(PodListeners.ports.upperBound)"
            for (index, address) in ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"].enumerated() {
                let command = try pod.attack(["queue", address, port, "10"], as: .unprivileged)
                let lines = try await command.errorLines.wait(within: .seconds(60)) { $0.contains("holding") }
                #expect(lines[0].split(separator: " ").compactMap { Int($0) } == [0, 10], "\(address): \(lines)")
                command.signal(SIGKILL)
                _ = await command.result()
                #expect(try lab.count("refused_waiting") == UInt64(10 * (index + 1)))
            }
            #expect(try lab.listeners.accept(within: 0) == nil)
            // By way of the metadata address the pod is served as before.
            let client = try pod.attack(Self.connect, as: .unprivileged)
            let connection = try lab.accept()
            #expect(lab.datapath.tag(ofAcceptedSocket: connection) != nil)
            close(connection)
            _ = await client.result()
        }
    }
}
