import NIOCore
import Synchronization
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

private let token = "/computeMetadata/v1/instance/service-accounts/default/token"

/// Sockets whose connections are accepted with their first bytes.
@Suite(.timeLimit(.minutes(10))) struct FirstByteTests {
    /// Accepted connections, while one that is silent waits before one that asks.
    private func accepted(waitsForBytes: Bool, _ next: (Int, any Channel) async throws -> Void) async throws {
        var configuration = TestConfiguration.test
        configuration.limits.firstByteDelay = 120
        let accepted = Atomic<Int>(0)
        try await withServer(
            configuration, waitsForBytes: waitsForBytes,
            onAccept: { _ in accepted.add(1, ordering: .sequentiallyConsistent) }
        ) { server in
            let silent = try await server.connections(1)[0]
            try await server.connect { client in
                try await client.send(get(token, "Connection: close"))
                #expect(try await client.receiveAll().contains("access_token"))
            }
            if !waitsForBytes { await reached(accepted, 2) }
            try await next(accepted.load(ordering: .sequentiallyConsistent), silent)
            await reached(accepted, 2)
            #expect(accepted.load(ordering: .sequentiallyConsistent) == 2)
        }
    }

    private func reached(_ counter: borrowing Atomic<Int>, _ count: Int) async {
        let deadline = ContinuousClock.now + .seconds(60)
        while counter.load(ordering: .sequentiallyConsistent) < count, ContinuousClock.now < deadline {
            await Task.yield()
        }
    }

    @Test func `a silent connection is not accepted until it speaks, and one behind it is`() async throws {
        try await accepted(waitsForBytes: true) { count, silent in
            #expect(count == 1)
            try await silent.writeAndFlush(ByteBuffer(string: get(token)))
        }
    }

    @Test func `the end of a silent connection is accepted as well`() async throws {
        try await accepted(waitsForBytes: true) { count, silent in
            #expect(count == 1)
            try await silent.close()
        }
    }

    @Test func `where pods share the socket, a silent connection is accepted at once`() async throws {
        try await accepted(waitsForBytes: false) { count, _ in #expect(count == 2) }
    }

    @Test func `a connection that stays silent is accepted after the delay`() async throws {
        let count = Atomic<Int>(0)
        try await withServer(waitsForBytes: true, onAccept: { _ in count.add(1, ordering: .sequentiallyConsistent) }) {
            server in
            let silent = try await server.connections(1)
            await reached(count, 1)
            #expect(count.load(ordering: .sequentiallyConsistent) == 1)
            try await silent[0].close()
        }
    }
}
