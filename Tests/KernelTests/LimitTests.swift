import Attribution
import BPF
import Foundation
import Lab
import Testing

/// What one pod can take from the others: nothing.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct LimitTests {
    @Test("a pod has at most 512 connections, its neighbour is served, and all are given back at the end")
    func connectionsPerPod() async throws {
        try await withGuards { lab in
            let hostile = try await lab.addPod("hostile")
            let victim = try await lab.addPod("victim")
            let hold = try hostile.attack(
                ["load", "idle", LabNode.metadataAddress, "80", "600", "2"], as: .unprivileged)
            try await hold.errorLines.first(within: .seconds(10)) { $0 == "holding" }
            #expect(lab.datapath.connections(ofPod: try lab.podID(hostile)) == 512)
            #expect(try lab.count("refused_limit") == 88)
            // Everything in the queue is the hostile pod's, and the victim's comes after it.
            let request = try victim.attack(["connect", "plain", LabNode.metadataAddress, "80"], as: .unprivileged)
            let mine = try lab.podID(victim).rawValue
            var accepted: [CInt] = []
            defer { accepted.forEach { close($0) } }
            var isServed = false
            while !isServed, accepted.count <= 513 {
                accepted.append(try lab.accept())
                isServed = lab.datapath.tag(ofAcceptedSocket: accepted[accepted.count - 1])?.ancestors[1] == mine
            }
            #expect(isServed)
            accepted.forEach { close($0) }
            accepted = []
            _ = await request.result()
            #expect(await hold.result().output.hasPrefix("512 connections, 88 refused,"))
            #expect(lab.datapath.connections(ofPod: try lab.podID(hostile)) == 0)
            #expect(lab.datapath.connections(ofPod: try lab.podID(victim)) == 0)
            #expect(lab.datapath.pendingHandovers() == 0)
        }
    }

    @Test("connections that were reset while they waited do not fill the queue")
    func deadConnections() async throws {
        try await withGuards { lab in
            let hostile = try await lab.addPod("hostile")
            let victim = try await lab.addPod("victim")
            // Each connection is begun and reset at once; nobody accepts.
            let flood = try hostile.attack(["flood", LabNode.metadataAddress, "80", "20000", "2"], as: .unprivileged)
            #expect(await flood.result().output.hasSuffix("refused\n"))
            // The check and the count are two steps: of two threads one may come between those of the other.
            #expect((512...513).contains(lab.datapath.connections(ofPod: try lab.podID(hostile))))
            let request = try victim.attack(["connect", "plain", LabNode.metadataAddress, "80"], as: .unprivileged)
            let mine = try lab.podID(victim).rawValue
            var others = 0
            while true {
                let connection = try lab.accept()
                defer { close(connection) }
                if lab.datapath.tag(ofAcceptedSocket: connection)?.ancestors[1] == mine { break }
                others += 1
            }
            #expect(others <= 520)
            _ = await request.result()
            #expect(lab.datapath.connections(ofPod: try lab.podID(hostile)) == 0)
        }
    }

    @Test("200,000 connects from two threads leave nothing behind")
    func flood() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("hostile")
            let flood = try pod.attack(["flood", LabNode.metadataAddress, "80", "200000", "2"], as: .unprivileged)
            var served = 0
            while flood.isRunning || lab.hasConnection(on: lab.listener) {
                guard lab.hasConnection(on: lab.listener, within: 10) else { continue }
                close(accept(lab.listener, nil, nil))
                served += 1
            }
            let result = await flood.result()
            #expect(result.output.contains("begun"))
            #expect(lab.datapath.connections(ofPod: try lab.podID(pod)) == 0)
            #expect(lab.datapath.pendingHandovers() == 0)
            #expect(try lab.count("claim_table_full") == 0)
            #expect(try lab.count("redirected") + lab.count("refused_limit") == 200_000)
        }
    }
}
