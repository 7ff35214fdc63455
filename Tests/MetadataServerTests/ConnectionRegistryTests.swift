import Attribution
import NIOCore
import NIOEmbedded
import Testing

@testable import MetadataServer

@Suite struct ConnectionRegistryTests {
    private func registry(_ connections: Int, perPod: Int, refused: Int) -> ConnectionRegistry {
        var limits = MetadataServerConfiguration.Limits()
        limits.connections = connections
        limits.connectionsPerPod = perPod
        limits.refusedConnectionsPerPod = refused
        return ConnectionRegistry(limits: limits)
    }

    private let pod = TestPod.p1.record.uid

    @Test func `a pod over its limit is told so, then reset`() {
        let registry = registry(100, perPod: 2, refused: 1)
        let channels = (0..<4).map { _ in EmbeddedChannel() }
        let admissions = channels.map { registry.admit($0, account: pod) }
        #expect(admissions == [.serve, .serve, .refuse, .reset(.connectionsPerPod)])
        #expect(registry.admit(EmbeddedChannel(), account: TestPod.p2.record.uid) == .serve)
        registry.remove(channels[0], account: pod)
        registry.remove(channels[0], account: pod)
        registry.remove(channels[3], account: pod)
        #expect(registry.admit(channels[0], account: pod) == .refuse)
        registry.remove(channels[0], account: pod)
        registry.remove(channels[1], account: pod)
        #expect(registry.admit(channels[1], account: pod) == .serve)
    }

    @Test func `no number of greedy pods takes the last connection`() {
        let registry = registry(400, perPod: 400, refused: 0)
        var channels: [EmbeddedChannel] = []
        for index in 0..<20 {
            let greedy = PodUID("00000000-0000-0000-0000-\(100_000_000_000 + index)")
            repeat {
                channels.append(EmbeddedChannel())
            } while registry.admit(channels[channels.count - 1], account: greedy) == .serve
        }
        #expect(registry.count < 400)
        #expect(registry.admit(EmbeddedChannel(), account: pod) == .serve)
    }

    @Test func `a full server and a stopping one admit nobody`() {
        let registry = registry(1, perPod: 1, refused: 1)
        let channel = EmbeddedChannel()
        #expect(registry.admit(channel, account: nil) == .serve)
        #expect(registry.admit(EmbeddedChannel(), account: pod) == .reset(.connections))
        #expect(registry.close().count == 1)
        registry.remove(channel, account: nil)
        #expect(registry.count == 0)
        #expect(registry.admit(EmbeddedChannel(), account: pod) == .reset(.stopping))
    }
}
