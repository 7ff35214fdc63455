import AgentTesting
import Foundation
import Lab
import Testing

/// Guards that an agent puts up once it serves, and may load no program and open no netlink socket.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ServingTests {
    @Test(
        "on a node without a protected address, interfaces that come are guarded, and so is the input once it has one",
        .enabled(if: LabKernel.isAtLeast(6, 6), "links at interfaces came with Linux 6.6"))
    func guardsWhatComes() async throws {
        try await withWorld { world in
            let addresses = ["\(LabNode.metadataAddress)/32", "\(LabNode.metadataAddress6)/128"]
            try await world.node.network.ip(addresses.map { "addr del \($0) dev lo" }.joined(separator: "\n"))
            let agent = try await world.startAgent()
            let input = "\(world.pinDirectory)/links/input4"
            #expect(!FileManager.default.fileExists(atPath: input))
            try await world.node.network.ip(
                """
                link add late type bridge
                addr add 10.77.0.1/24 dev late
                link set late up
                """)
            try await agent.log.first { $0.contains("interface guarded") && $0.contains("interface=late") }
            try await world.node.network.ip("addr add \(addresses[0]) dev lo")
            try await world.eventually("the input is guarded") { FileManager.default.fileExists(atPath: input) }
            #expect(!agent.log.events.contains { $0.contains("cannot look for new network interfaces") })
            await agent.stop()
        }
    }
}
