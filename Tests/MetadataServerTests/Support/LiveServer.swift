import Attribution
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A running server and where it is.
struct LiveServer {
    let server: MetadataServer
    let observer: RecordingObserver
    let port: Int

    func connect(_ body: (inout LiveClient) async throws -> Void) async throws {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        try await channel.executeThenClose { inbound, outbound in
            var client = LiveClient(inbound: inbound.makeAsyncIterator(), outbound: outbound)
            try await body(&client)
        }
    }
}

extension LiveServer {
    /// Connects with a blocking socket, waits for the server to end it, and returns how: an error number, 0 for an
    /// orderly end.
    func endOfPlainConnection() -> CInt {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe Glibc.connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { return errno }
        var byte: UInt8 = 0
        return unsafe recv(descriptor, &byte, 1, 0) < 0 ? errno : 0
    }

    /// Connections that only send.
    func connections(_ count: Int) async throws -> [any Channel] {
        var channels: [any Channel] = []
        for _ in 0..<count {
            let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            channels.append(try await bootstrap.connect(host: "127.0.0.1", port: port).get())
        }
        return channels
    }
}

struct LiveClient {
    var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>

    func send(_ text: String) async throws {
        try await outbound.write(ByteBuffer(string: text))
    }

    mutating func receive(until end: String) async throws -> String {
        var text = ""
        while !text.hasSuffix(end), let bytes = try await inbound.next(isolation: #isolation) {
            text += String(buffer: bytes)
        }
        return text
    }

    mutating func receiveAll() async throws -> String {
        var text = ""
        while let bytes = try await inbound.next(isolation: #isolation) { text += String(buffer: bytes) }
        return text
    }
}

func withServer(
    _ configuration: TestConfiguration = .test,
    backend: FakeBackend = FakeBackend(),
    tag: CallerTag? = .test,
    waitsForBytes: Bool = false,
    onAccept: @escaping @Sendable (CInt) -> Void = { _ in },
    acceptFailed: @escaping @Sendable () -> Void = {},
    _ body: (LiveServer) async throws -> Void
) async throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    try #require(descriptor >= 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> UInt16? in
            guard unsafe bind(descriptor, address, length) == 0, listen(descriptor, 16) == 0,
                unsafe getsockname(descriptor, address, &length) == 0
            else { return nil }
            return unsafe pointer.pointee.sin_port.bigEndian
        }
    }
    let observer = RecordingObserver()
    let server = MetadataServer(
        limits: configuration.limits,
        backend: backend,
        rooms: configuration.rooms([], backend),
        readTag: { descriptor in
            onAccept(descriptor)
            return tag
        },
        eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
        observer: observer,
        acceptFailed: acceptFailed
    )
    try server.start(onListeningSocket: descriptor, waitsForBytes: waitsForBytes)
    do {
        try await body(LiveServer(server: server, observer: observer, port: Int(try #require(port))))
    } catch {
        await server.shutDownGracefully(within: .zero)
        throw error
    }
    await server.shutDownGracefully(within: .zero)
    #expect(observer.record.opened == observer.record.closed)
}
