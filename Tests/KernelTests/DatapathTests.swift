import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Ring 3: the real hooks, in real cgroups and network namespaces.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct DatapathTests {
    @Test("a pod's connection to the metadata address arrives at the agent, tagged with its cgroups")
    func redirectsAndTags() async throws {
        try await withDatapath { lab in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a"))
            let client = try pod.start(["curl", "-s", "--max-time", "5", "http://169.254.169.254/"])
            let connection = try lab.accept()
            let tag = try #require(lab.datapath.tag(ofAcceptedSocket: connection))
            close(connection)
            _ = await client.result()
            #expect(tag.ancestors[1] == lab.cgroups.id(of: [UInt8](pod.cgroup.utf8))?.rawValue)
            #expect(tag.leaf == lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            #expect(tag.originalDestination == OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80))
            #expect(lab.datapath.pendingHandovers() == 0)
        }
    }
}
