import Attribution
import NIOCore
import NIOEmbedded
import NIOHPACK
import Synchronization
import Testing

@testable import SpiffeIdentity
@testable import SpiffeWorkload

/// One connection of the endpoint in a test's hand: bytes in, frames out, no kernel between.
final class RawConnection: Sendable {
    static let pod = PodRecord(
        uid: known(PodUID("00000000-0000-0000-0000-000000000001")), namespace: "shop", name: "web-1",
        serviceAccountName: "web")
    /// The bytes of SETTINGS without a setting.
    static let settings = frame(.settings)
    static let preface = FrameReader.preface + settings

    let channel = NIOAsyncTestingChannel()
    let store: IdentityStore
    let identification = Mutex(
        Identification.caller(Caller(pod: RawConnection.pod, containerID: nil, cgroupID: CgroupID(rawValue: 1))))
    /// The client's tables of HPACK.
    private let encoder = Mutex(HPACKEncoder(allocator: ByteBufferAllocator()))
    private let decoder = Mutex(HPACKDecoder(allocator: ByteBufferAllocator()))
    private let unread = Mutex(ByteBuffer())
    private let closing = Atomic(false)
    private let readCount = Atomic(0)

    /// A connection whose client has said nothing yet, to a store that holds bundles and a token for `load`.
    init(
        _ signer: FakeSigner, store other: IdentityStore? = nil, observer: any WorkloadObserver = QuietObserver(),
        _ change: (inout WorkloadConfiguration) -> Void = { _ in }
    ) async throws {
        var configuration = WorkloadConfiguration(trustDomain: FakeSigner.domain, authorities: [])
        configuration.bundleSpread = .zero
        change(&configuration)
        store =
            other
            ?? IdentityStore(
                configuration: configuration, issuer: signer, observer: observer, loop: channel.testingEventLoop)
        let (channel, store) = (channel, store)
        try await channel.testingEventLoop.executeInContext { [self] in
            let peer = WorkloadPeer(
                transport: .unix, identify: { self.identification.withLock { $0 } },
                identifyHolding: { _ in self.identification.withLock { $0 } })
            try channel.pipeline.syncOperations.addHandler(ReadCounter(connection: self))
            try channel.pipeline.syncOperations.addHandler(
                HTTP2Connection(
                    CallOpener(store: store, peer: peer, observer: observer), eventLoop: channel.eventLoop))
        }
        channel.closeFuture.whenComplete { [self] _ in closing.store(true, ordering: .relaxed) }
        if other == nil {
            try await store.refreshedBundle()
            _ = try await store.fetchTokenMessage(for: Self.pod, audience: ["load"])
            _ = try await store.fetchCertificateMessage(for: Self.pod)
        }
    }

    var isClosed: Bool { closing.load(ordering: .relaxed) }
    /// How often the server has asked for more bytes.
    var reads: Int { readCount.load(ordering: .relaxed) }

    fileprivate func countRead() { readCount.add(1, ordering: .relaxed) }

    // MARK: The client's frames

    static func frame(
        _ type: HTTP2FrameType, flags: UInt8 = 0, stream: Int = 0, _ payload: [UInt8] = []
    ) -> [UInt8] {
        frame(type: type.rawValue, flags: flags, stream: stream, payload)
    }

    static func frame(type: UInt8, flags: UInt8 = 0, stream: Int = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let number = UInt32(stream)
        let length = UInt32(payload.count)
        return [UInt8(length >> 16), UInt8(length >> 8 & 0xff), UInt8(length & 0xff), type, flags]
            + bytes(number) + payload
    }

    static func bytes(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(number >> (24 - 8 * UInt32($0)) & 0xff) } }

    static func setting(_ identifier: UInt8, _ value: UInt32) -> [UInt8] {
        frame(.settings, [0, identifier] + bytes(value))
    }

    static func windowUpdate(_ stream: Int, _ increment: UInt32) -> [UInt8] {
        frame(.windowUpdate, stream: stream, bytes(increment))
    }

    /// The fields of a call.
    static func fields(
        _ method: String = "FetchJWTBundles", _ more: [(String, String)] = []
    ) -> [(String, String)] {
        [
            (":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/\(method)"),
            (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"),
            ("workload.spiffe.io", "true"),
        ] + more
    }

    func block(_ fields: [(String, String)]) throws -> [UInt8] {
        try encoder.withLock { encoder in
            var buffer = ByteBuffer()
            try encoder.encode(headers: HPACKHeaders(fields), to: &buffer)
            return Array(buffer.readableBytesView)
        }
    }

    /// HEADERS of a call, with the end of the block.
    func head(
        _ stream: Int, _ fields: [(String, String)] = RawConnection.fields(), isLast: Bool = false
    ) throws -> [UInt8] {
        Self.frame(.headers, flags: isLast ? 0x5 : 0x4, stream: stream, try block(fields))
    }

    static func data(_ stream: Int, _ bytes: [UInt8] = [0, 0, 0, 0, 0], isLast: Bool = true) -> [UInt8] {
        frame(.data, flags: isLast ? 0x1 : 0, stream: stream, bytes)
    }

    /// HEADERS and DATA of a call.
    func call(_ stream: Int, _ method: String = "FetchJWTBundles") throws -> [UInt8] {
        try head(stream, Self.fields(method)) + Self.data(stream)
    }

    /// FetchJWTSVID for `load`, which the store holds.
    func tokenCall(_ stream: Int) throws -> [UInt8] {
        try head(stream, Self.fields("FetchJWTSVID"))
            + Self.data(stream, [0, 0, 0, 0, 6, 0x0a, 4] + Array("load".utf8))
    }

    // MARK: Talking

    /// Sends bytes, and returns the frames that the server has written since.
    @discardableResult
    func exchange(_ bytes: [UInt8]) async throws -> [String] {
        _ = try? await channel.writeInbound(ByteBuffer(bytes: bytes))
        return try await sent()
    }

    /// Sends the preface, whose answer is known.
    func begin() async throws {
        #expect(try await exchange(Self.preface) == ["SETTINGS 12", "SETTINGS ACK"])
    }

    /// The frames that the server has written since the last look.
    func sent() async throws -> [String] {
        await channel.testingEventLoop.run()
        while let buffer = try await channel.readOutbound(as: ByteBuffer.self) {
            _ = unread.withLock { $0.writeImmutableBuffer(buffer) }
        }
        var texts: [String] = []
        while let frame = try unread.withLock({ try Frame(&$0) }) { texts.append(try text(frame)) }
        #expect(unread.withLock(\.readableBytes) == 0, "a frame that is not whole")
        return texts
    }

    /// Waits for the next frame.
    func next() async throws -> Frame {
        while true {
            if let frame = try unread.withLock({ try Frame(&$0) }) { return frame }
            let buffer = try await channel.waitForOutboundWrite(as: ByteBuffer.self)
            _ = unread.withLock { $0.writeImmutableBuffer(buffer) }
        }
    }

    /// A frame of the server.
    struct Frame {
        let type: HTTP2FrameType?
        let flags: UInt8
        let stream: Int
        let payload: ByteBuffer

        /// Takes the next out of the bytes; `nil`: it is not whole.
        init?(_ bytes: inout ByteBuffer) throws {
            guard let head = bytes.getBytes(at: bytes.readerIndex, length: 9) else { return nil }
            let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            #expect(length <= 16_384)
            guard let payload = bytes.getSlice(at: bytes.readerIndex + 9, length: length) else { return nil }
            bytes.moveReaderIndex(forwardBy: 9 + length)
            type = HTTP2FrameType(rawValue: head[3])
            flags = head[4]
            stream = head[5...].reduce(0) { $0 << 8 | Int($1) }
            self.payload = payload
        }
    }

    /// The fields of a block, by another implementation.
    func fields(_ frame: Frame) throws -> HPACKHeaders {
        var payload = frame.payload
        return try decoder.withLock { try $0.decodeHeaders(from: &payload) }
    }

    private func text(_ frame: Frame) throws -> String {
        var payload = frame.payload
        let (stream, length) = (frame.stream, payload.readableBytes)
        switch (frame.type, frame.flags) {
        case (.settings, 1): return "SETTINGS ACK"
        case (.settings, 0): return "SETTINGS \(length)"
        case (.ping, 1): return "PING ACK \(payload.readInteger(as: UInt64.self) ?? 0)"
        case (.data, 0): return "DATA \(stream) \(length)"
        case (.reset, 0): return "RST \(stream) \(payload.readInteger(as: UInt32.self) ?? 99)"
        case (.windowUpdate, 0): return "WINDOW_UPDATE \(stream) \(payload.readInteger(as: UInt32.self) ?? 0)"
        case (.goAway, 0):
            let last = payload.readInteger(as: UInt32.self) ?? 0
            return "GOAWAY \(last) \(payload.readInteger(as: UInt32.self) ?? 99)"
        case (.headers, 0x4), (.headers, 0x5):
            let fields = try fields(frame)
            let status = fields.first(name: "grpc-status").map { "status \($0)" }
            return
                "HEADERS \(stream) \(status ?? fields.first(name: ":status") ?? "?")\(frame.flags == 5 ? " END" : "")"
        default:
            Issue.record("a frame of type \(frame.type.map { "\($0)" } ?? "none") with flags \(frame.flags)")
            return "?"
        }
    }

    func close() async throws { _ = try await channel.finish(acceptAlreadyClosed: true) }
}

/// Stands before the connection in the pipeline.
private final class ReadCounter: ChannelOutboundHandler, Sendable {
    typealias OutboundIn = ByteBuffer
    private let connection: RawConnection

    init(connection: RawConnection) {
        self.connection = connection
    }

    func read(context: ChannelHandlerContext) {
        connection.countRead()
        context.read()
    }
}
