import Attribution
import NIOCore
import NIOEmbedded
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct ConnectionRegistryTests {
    private func registry(_ connections: Int, perPod: Int, refused: Int) -> ConnectionRegistry {
        var limits = MetadataServerLimits()
        limits.connections = connections
        limits.connectionsPerPod = perPod
        limits.refusedConnectionsPerPod = refused
        return ConnectionRegistry(limits: limits)
    }

    private let pod = TestPod.p1.record.uid

    private func pod(_ number: Int) throws -> PodUID {
        try #require(PodUID("00000000-0000-0000-0000-\(100_000_000_000 + number)"))
    }

    private func record(idleSince time: UInt64? = nil) -> ConnectionRecord {
        let record = ConnectionRecord(owner: pod, tag: .test)
        if let time { record.enter(.idle, at: .uptimeNanoseconds(time)) }
        return record
    }

    @Test func `a pod over its limit is told so, then reset`() {
        let registry = registry(100, perPod: 2, refused: 1)
        let channels = (0..<4).map { _ in EmbeddedChannel() }
        let admissions = channels.map { registry.admit($0, owner: pod).admission }
        #expect(admissions == [.serve, .serve, .refuse, .reset(.connectionsPerPod)])
        #expect(registry.admit(EmbeddedChannel(), owner: TestPod.p2.record.uid).admission == .serve)
        registry.remove(channels[0], owner: pod)
        registry.remove(channels[0], owner: pod)
        registry.remove(channels[3], owner: pod)
        // The one that was refused has no place among those that are served.
        #expect(registry.admit(channels[0], owner: pod).admission == .serve)
        #expect(registry.admit(channels[3], owner: pod).admission == .reset(.connectionsPerPod))
    }

    @Test(arguments: [20, 110, 500]) func `no number of greedy pods takes the last connection`(_ greedy: Int) throws {
        let limits = MetadataServerLimits()
        let registry = ConnectionRegistry(limits: limits)
        var channels: [EmbeddedChannel] = []
        // Pods press in turn, as pods that act at the same time do, until none of them gets another connection.
        var pressing = try (0..<greedy).map { try pod($0) }
        while !pressing.isEmpty {
            pressing = pressing.filter { pod in
                channels.append(EmbeddedChannel())
                switch registry.admit(channels[channels.count - 1], owner: pod).admission {
                case .serve, .refuse: return true
                case .reset: return false
                }
            }
        }
        #expect(registry.count <= limits.connections + greedy * limits.reservedConnectionsPerPod)
        for _ in 1...limits.reservedConnectionsPerPod {
            channels.append(EmbeddedChannel())
            #expect(registry.admit(channels[channels.count - 1], owner: pod).admission == .serve)
        }
    }

    @Test func `a place that was reserved is reserved again after its connection ended`() throws {
        let registry = registry(8, perPod: 100, refused: 100)
        let own = (0..<4).map { _ in EmbeddedChannel() }
        for channel in own { #expect(registry.admit(channel, owner: pod).admission == .serve) }
        let greedy = (0..<40).map { _ in EmbeddedChannel() }
        for channel in greedy { _ = registry.admit(channel, owner: try pod(1)) }
        #expect(registry.count == 4 + 4 + 8)
        registry.remove(own[0], owner: pod)
        #expect(registry.admit(greedy[39], owner: try pod(1)).admission == .reset(.connections))
        #expect(registry.admit(own[0], owner: pod).admission == .serve)
        for channel in own { registry.remove(channel, owner: pod) }
        for channel in greedy { registry.remove(channel, owner: try pod(1)) }
        #expect(registry.count == 0)
        #expect(registry.admit(greedy[0], owner: try pod(1)).admission == .serve)
    }

    @Test func `a pod at its limit loses the connection that was idle for longest, and is refused when all are busy`() {
        let registry = registry(100, perPod: 3, refused: 2)
        let channels = (0..<6).map { _ in EmbeddedChannel() }
        let records = [record(idleSince: 30), record(idleSince: 10), record()]
        for (channel, record) in zip(channels, records) {
            #expect(registry.admit(channel, owner: pod, record: record).admission == .serve)
        }
        let fourth = registry.admit(channels[3], owner: pod, record: record())
        #expect(fourth.admission == .serve && fourth.displaced === channels[1])
        // The connection has not closed yet, and is not asked again.
        let fifth = registry.admit(channels[4], owner: pod, record: record())
        #expect(fifth.admission == .serve && fifth.displaced === channels[0])
        #expect(registry.admit(channels[5], owner: pod).admission == .reset(.connectionsPerPod))
        registry.remove(channels[1], owner: pod)
        let sixth = registry.admit(channels[5], owner: pod)
        #expect(sixth.admission == .refuse && sixth.displaced == nil)
    }

    @Test func `a pod with idle connections has another one though the server is full`() throws {
        let registry = registry(4, perPod: 100, refused: 2)
        let channels = (0..<6).map { _ in EmbeddedChannel() }
        for (number, channel) in channels.prefix(5).enumerated() {
            _ = registry.admit(channel, owner: pod, record: record(idleSince: UInt64(number)))
        }
        let greedy = (0..<40).map { _ in EmbeddedChannel() }
        for channel in greedy { _ = registry.admit(channel, owner: try pod(1)) }
        let (admission, displaced) = registry.admit(channels[5], owner: pod)
        #expect(admission == .serve && displaced === channels[0])
    }

    @Test func `the pod with most unanswered bytes loses its largest connection first`() throws {
        var limits = MetadataServerLimits()
        limits.unfinishedBytes = 1000
        let registry = ConnectionRegistry(limits: limits)
        let channels = (0..<4).map { _ in EmbeddedChannel() }
        let greedy = try pod(1)
        for channel in channels.prefix(3) { _ = registry.admit(channel, owner: greedy) }
        _ = registry.admit(channels[3], owner: pod)
        #expect(registry.noteUnfinished(300, of: channels[0], owner: greedy).isEmpty)
        #expect(registry.noteUnfinished(350, of: channels[1], owner: greedy).isEmpty)
        #expect(registry.noteUnfinished(50, of: channels[2], owner: greedy).isEmpty)
        // The largest connection of all is another pod's, which has less in all.
        let excess = registry.noteUnfinished(400, of: channels[3], owner: pod)
        #expect(excess.count == 1 && excess.first === channels[1])
        #expect(registry.unfinishedBytes == 750)
        registry.remove(channels[1], owner: greedy)
        #expect(registry.unfinishedBytes == 750)
        registry.remove(channels[3], owner: pod)
        #expect(registry.unfinishedBytes == 350)
        #expect(registry.noteUnfinished(0, of: channels[0], owner: greedy).isEmpty)
        #expect(registry.noteUnfinished(9999, of: channels[3], owner: pod).isEmpty, "it is closed")
        #expect(registry.unfinishedBytes == 50)
    }

    @Test func `a full server and a stopping one admit no connection`() {
        let registry = registry(0, perPod: 1, refused: 1)
        let channel = EmbeddedChannel()
        #expect(registry.admit(channel, owner: nil).admission == .serve)
        #expect(registry.admit(EmbeddedChannel(), owner: nil).admission == .reset(.connections))
        #expect(registry.close().count == 1)
        registry.remove(channel, owner: nil)
        #expect(registry.count == 0)
        #expect(registry.admit(EmbeddedChannel(), owner: pod).admission == .reset(.stopping))
    }
}
