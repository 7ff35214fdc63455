import NIOCore
import NIOPosix
import Testing

@testable import MetadataServer

@Suite(.timeLimit(.minutes(10))) struct ServingLoopTests {
    @Test func `the loop with fewest connections serves the next one, and the thread's own where both have as many`() {
        let loops = [0, 1].map { _ in ServingLoop(MultiThreadedEventLoopGroup.singleton.next()) }
        let next = { (index: Int) -> Int? in
            let chosen = ServingLoop.leastBusy(of: loops, preferring: index)
            return loops.firstIndex { $0 === chosen }
        }
        #expect(next(0) == 0 && next(1) == 1)
        loops[0].enter()
        #expect(next(0) == 1 && next(1) == 1)
        loops[1].enter()
        #expect(next(0) == 0 && next(1) == 1)
        loops[1].enter()
        #expect(next(0) == 0 && next(1) == 0)
        loops[1].leave()
        loops[1].leave()
        #expect(next(0) == 1)
    }

    @Test func `a burst of kept connections is spread over the loops, and each end is counted`() async throws {
        try await withServer { server in
            let loops = server.server.loops
            let connections = try await server.connections(24)
            for connection in connections { try await connection.writeAndFlush(ByteBuffer(string: get("/"))) }
            try await until { loops.map(\.connectionCount).reduce(0, +) == connections.count }
            let counts = loops.map(\.connectionCount)
            // Two threads may choose the same loop at the same moment.
            #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 2, "\(counts)")
            for connection in connections { try await connection.close() }
            try await until { loops.allSatisfy { $0.connectionCount == 0 } }
        }
    }

    private func until(_ condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !condition() {
            try #require(ContinuousClock.now < deadline)
            await Task.yield()
        }
    }
}
