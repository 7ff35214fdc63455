import Attribution
import BPF
import Foundation
import Lab
import Testing

/// What one pod can take from the others: nothing.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct LimitTests {
    private static let connect = ["connect", "plain", LabNode.metadataAddress, "80"]

    @Test("200,000 connects from two threads are the pod's or nobody's, and keep its neighbour from nothing")
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
}
