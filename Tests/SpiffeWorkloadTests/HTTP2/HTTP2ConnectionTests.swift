import Attribution
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import SpiffeIdentity
@testable import SpiffeWorkload

/// A connection whose client keeps the rules: answers, windows, limits and ends.
@Suite(.timeLimit(.minutes(10))) struct HTTP2ConnectionTests {
    private static func started(
        _ change: (inout WorkloadConfiguration) -> Void = { _ in }
    ) async throws -> RawConnection {
        let connection = try await RawConnection(try FakeSigner(), change)
        try await connection.begin()
        return connection
    }

    /// The bytes of DATA among frames, of one stream.
    private static func size(_ sent: [String], _ stream: Int = 1) -> Int {
        sent.filter { $0.hasPrefix("DATA \(stream) ") }.reduce(0) { $0 + (Int($1.split(separator: " ")[2]) ?? 0) }
    }

    @Test("calls that one read brings are answered in order and in one write")
    func answers() async throws {
        let connection = try await Self.started()
        let calls = try [1, 3, 5, 7].flatMap { try connection.tokenCall($0) }
        try await connection.channel.writeInbound(ByteBuffer(bytes: calls))
        let buffer = try #require(try await connection.channel.readOutbound(as: ByteBuffer.self))
        #expect(try await connection.channel.readOutbound(as: ByteBuffer.self) == nil)
        #expect(buffer.readableBytes > 4 * 300)
        // The same in single bytes.
        var sent: [String] = []
        for byte in try connection.tokenCall(9) { sent += try await connection.exchange([byte]) }
        #expect(sent.count == 3 && sent[0] == "HEADERS 9 200" && sent[2] == "HEADERS 9 status 0 END", "\(sent)")
        #expect(sent[1].hasPrefix("DATA 9 "))
        #expect(connection.store.budget.total == 0)
        try await connection.close()
    }

    @Test("padding, priorities and continuations change nothing, and a PING is answered with its data")
    func forms() async throws {
        let connection = try await Self.started()
        let block = try connection.block(RawConnection.fields("FetchJWTSVID"))
        let body: [UInt8] = [0, 0, 0, 0, 6, 0x0a, 4] + Array("load".utf8)
        let sent = try await connection.exchange(
            RawConnection.frame(.headers, flags: 0x28, stream: 1, [3, 0, 0, 0, 0, 0] + block.prefix(9) + [0, 0, 0])
                + RawConnection.frame(.continuation, stream: 1, Array(block.dropFirst(9).prefix(1)))
                + RawConnection.frame(.continuation, flags: 4, stream: 1, Array(block.dropFirst(10)))
                + RawConnection.frame(.data, flags: 8, stream: 1, [2] + body.prefix(4) + [0, 0])
                + RawConnection.frame(.ping, [0, 0, 0, 0, 0, 0, 1, 2])
                + RawConnection.frame(.data, flags: 9, stream: 1, [0] + body.dropFirst(4)))
        #expect(sent.first == "PING ACK 258" && sent.last == "HEADERS 1 status 0 END", "\(sent)")
        try await connection.close()
    }

    @Test("an answer goes no further than the client's windows, and its end comes after the last byte")
    func windows() async throws {
        let connection = try await Self.started()
        // Many small updates are no flood where nothing waits.
        let updates = (0..<1000).flatMap { _ in RawConnection.windowUpdate(0, 1) }
        #expect(try await connection.exchange(updates) == [])
        #expect(try await connection.exchange(RawConnection.setting(4, 10)) == ["SETTINGS ACK"])
        let first = try await connection.exchange(connection.tokenCall(1))
        #expect(first == ["HEADERS 1 200", "DATA 1 10"])
        #expect(try await connection.exchange(RawConnection.windowUpdate(1, 5)) == ["DATA 1 5"])
        // 6.9.2: a smaller window may make that of a stream negative.
        #expect(try await connection.exchange(RawConnection.setting(4, 0)) == ["SETTINGS ACK"])
        #expect(try await connection.exchange(RawConnection.windowUpdate(1, 10)) == [])
        #expect(try await connection.exchange(RawConnection.windowUpdate(1, 1)) == ["DATA 1 1"])
        let rest = try await connection.exchange(RawConnection.setting(4, 5000))
        #expect(rest.count == 3 && rest.first == "SETTINGS ACK" && rest.last == "HEADERS 1 status 0 END", "\(rest)")
        // The window of the connection: 65,535 bytes for all streams.
        var total = 0
        var stream = 3
        var sent: [String] = []
        repeat {
            sent = try await connection.exchange(connection.tokenCall(stream))
            total += Self.size(sent, stream)
            stream += 2
        } while sent.last?.hasSuffix("END") == true
        #expect(total + Self.size(first) + 6 + Self.size(rest) == 65_535 + 1000)
        let end = try await connection.exchange(RawConnection.windowUpdate(0, 5000))
        #expect(end.last == "HEADERS \(stream - 2) status 0 END", "\(end)")
        try await connection.close()
    }

    @Test("a client that takes no answers is not read, and nothing piles up for it")
    func slowReader() async throws {
        let connection = try await Self.started()
        connection.channel.isWritable = false
        let reads = connection.reads
        #expect(try await connection.exchange(connection.tokenCall(1)) == [])
        try await connection.channel.testingEventLoop.executeInContext { connection.channel.pipeline.read() }
        #expect(connection.reads == reads)
        connection.channel.isWritable = true
        try await connection.channel.testingEventLoop.executeInContext {
            connection.channel.pipeline.fireChannelWritabilityChanged()
        }
        #expect(try await connection.sent().last == "HEADERS 1 status 0 END")
        #expect(connection.reads == reads + 1)
        // One that never takes any: the connection ends after the idle time.
        connection.channel.isWritable = false
        #expect(try await connection.exchange(connection.tokenCall(3)) == [])
        await connection.channel.testingEventLoop.advanceTime(by: .minutes(11))
        #expect(connection.isClosed)
        try await connection.close()
    }

    @Test("what waits for a slow client takes no more memory than its bytes")
    func smallAnswers() async throws {
        let connection = try await Self.started()
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
        _ = try await connection.channel.writeInbound(ByteBuffer(bytes: connection.head(1, fields, isLast: true)))
        let answer = try #require(try await connection.channel.readOutbound(as: ByteBuffer.self))
        #expect(answer.readableBytes < 32 && answer.storageCapacity <= 64, "\(answer)")
        try await connection.close()
    }

    @Test("a failure does not wait behind an answer that its client does not take")
    func failureBehindClosedWindow() async throws {
        let connection = try await Self.started()
        #expect(try await connection.exchange(RawConnection.setting(4, 0)) == ["SETTINGS ACK"])
        #expect(try await connection.exchange(connection.call(1, "FetchX509SVID")) == ["HEADERS 1 200"])
        connection.store.forget(RawConnection.pod.uid)
        #expect(try await connection.sent() == ["RST 1 11"])
        #expect(connection.store.holdings.streams == 0)
        try await connection.close()
    }

    @Test("a client that measures its window by a PING for each frame of data is no flood")
    func pingsForData() async throws {
        let connection = try await Self.started()
        #expect(try await connection.exchange(RawConnection.windowUpdate(0, 1 << 28)) == [])
        let ping = RawConnection.frame(.ping, [UInt8](repeating: 0, count: 8))
        for number in 0..<1000 {
            let stream = 2 * number + 1
            let sent = try await connection.exchange(connection.tokenCall(stream) + ping)
            #expect(sent.contains("PING ACK 0") && sent.contains("HEADERS \(stream) status 0 END"), "\(sent)")
        }
        try await connection.close()
    }

    @Test("one-shot calls of a stream, each ended by a reset after its message, are no flood")
    func oneShots() async throws {
        let connection = try await Self.started()
        #expect(try await connection.exchange(RawConnection.windowUpdate(0, 1 << 28)) == [])
        for number in 0..<1000 {
            let stream = 2 * number + 1
            let sent = try await connection.exchange(connection.call(stream, "FetchX509SVID"))
            #expect(sent.count == 2 && sent[1].hasPrefix("DATA \(stream) "), "\(sent)")
            #expect(try await connection.exchange(RawConnection.frame(.reset, stream: stream, [0, 0, 0, 8])) == [])
        }
        #expect(connection.store.holdings.streams == 0)
        try await connection.close()
    }

    @Test("8.1: a client that has its answer before the end of its request is asked to stop, and its rest is ignored")
    func early() async throws {
        let connection = try await Self.started()
        let fields = RawConnection.fields("Nothing")
        #expect(try await connection.exchange(connection.head(1, fields)) == ["HEADERS 1 status 12 END", "RST 1 0"])
        #expect(try await connection.exchange(RawConnection.data(1)) == [])
        #expect(try await connection.exchange(connection.head(1, [("a", "b")], isLast: true)) == [])
        // Where the end is in the same read there is nothing to stop.
        let whole = try connection.head(3, fields) + RawConnection.data(3)
        #expect(try await connection.exchange(whole) == ["HEADERS 3 status 12 END"])
        let token = try connection.tokenCall(5)
        let unended = Array(token.dropLast(20)) + RawConnection.data(5, Array(token.suffix(11)), isLast: false)
        #expect(try await connection.exchange(unended).suffix(2) == ["HEADERS 5 status 0 END", "RST 5 0"])
        #expect(try await connection.exchange(RawConnection.data(5, [])) == [])
        try await connection.close()
    }

    @Test("long requests get as much of the window as they use, and one that is not complete in time ends with 14")
    func requests() async throws {
        let connection = try await Self.started()
        let audience = [UInt8](repeating: 0x61, count: 60_000)
        let head = try connection.head(1, RawConnection.fields("ValidateJWTSVID"))
        #expect(
            try await connection.exchange(head + RawConnection.data(1, [0, 0, 0, 0xea, 0x64], isLast: false)) == [])
        var sent: [String] = []
        for start in stride(from: 0, to: 48_000, by: 16_000) {
            sent += try await connection.exchange(
                RawConnection.data(1, Array(audience[start..<start + 16_000]), isLast: false))
        }
        #expect(sent == ["WINDOW_UPDATE 0 48005", "WINDOW_UPDATE 1 48005"])
        #expect(connection.store.budget.total == 48_005)
        await connection.channel.testingEventLoop.advanceTime(by: .seconds(11))
        #expect(try await connection.sent() == ["HEADERS 1 status 14 END", "RST 1 0"])
        #expect(connection.store.budget.total == 0)
        try await connection.close()
    }

    @Test("parts of frames are kept up to the pod's share, whatever the number of its connections")
    func budget() async throws {
        let first = try await Self.started { $0.pendingBytes = (pod: 20_000, all: 20_000) }
        let part = try Array(first.head(1) + RawConnection.data(1, [UInt8](repeating: 0, count: 16_000), isLast: false))
        #expect(try await first.exchange(Array(part.prefix(12_000))) == [])
        let kept = first.store.budget.total
        #expect(kept > 10_000 && kept <= 12_000)
        let second = try await RawConnection(try FakeSigner(), store: first.store)
        try await second.begin()
        #expect(try await second.exchange(Array(part.prefix(12_000))).last == "GOAWAY 1 11")
        #expect(first.store.budget.total == kept)
        try await first.close()
        #expect(first.store.budget.total == 0)
        try await second.close()
    }

    @Test("6.8: a drain refuses new streams, and ends with the last that is open")
    func drain() async throws {
        let connection = try await Self.started()
        #expect(try await connection.exchange(connection.call(1)).count == 2)
        try await connection.channel.testingEventLoop.executeInContext {
            connection.channel.pipeline.fireUserInboundEventTriggered(WorkloadDrain())
        }
        #expect(try await connection.sent() == ["GOAWAY 1 0"])
        #expect(try await connection.exchange(connection.tokenCall(3)) == [], "not served, and no breach")
        #expect(!connection.isClosed)
        for stream in connection.store.close() { stream.end(.draining) }
        #expect(try await connection.sent() == ["HEADERS 1 status 14 END"])
        #expect(connection.isClosed)
        try await connection.close()
    }

    @Test("a connection without a call ends after the idle time, and one with a stream does not")
    func idle() async throws {
        let busy = try await Self.started()
        #expect(try await busy.exchange(busy.call(1)).count == 2)
        await busy.channel.testingEventLoop.advanceTime(by: .minutes(60))
        #expect(try await busy.sent() == [] && !busy.isClosed)
        let idle = try await Self.started()
        await idle.channel.testingEventLoop.advanceTime(by: .minutes(4))
        #expect(try await idle.sent() == [] && !idle.isClosed)
        await idle.channel.testingEventLoop.advanceTime(by: .minutes(2))
        #expect(try await idle.sent() == ["GOAWAY 0 0"] && idle.isClosed)
        try await busy.close()
        try await idle.close()
    }

    @Test("a pod that ends has its streams ended, and a client that stops reading gets no more pushes")
    func ends() async throws {
        let connection = try await Self.started()
        #expect(try await connection.exchange(connection.call(1, "FetchX509SVID")).count == 2)
        connection.store.forget(RawConnection.pod.uid)
        #expect(try await connection.sent() == ["HEADERS 1 status 7 END"])
        #expect(try await connection.exchange(connection.call(3)).count == 2)
        connection.channel.isWritable = false
        let signer = try FakeSigner()
        let (_, next) = try FakeSigner.makeAuthority("next")
        signer.state.withLock { $0.bundle.authorities.append(next) }
        connection.store.adopt(signer.state.withLock(\.bundle))
        #expect(try await connection.sent() == ["HEADERS 3 status 8 END"])
        try await connection.close()
    }
}
