import Attribution
import EventLoops
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

/// One connection in memory: bytes in, bytes out, and a clock that the test moves.
struct TestConnection {
    let channel: NIOAsyncTestingChannel
    let observer = RecordingObserver()

    init(
        _ backend: FakeBackend,
        configuration: TestConfiguration = .test,
        rooms: [any CloudRoom] = [],
        refusesAll: Bool = false,
        known: RequestCache = RequestCache()
    ) async throws {
        let observer = observer
        channel = try await NIOAsyncTestingChannel { channel in
            let handler = RequestHandler(
                tag: .test,
                responder: MetadataResponder(configuration: configuration, backend: backend, rooms: rooms),
                limits: configuration.limits,
                observer: observer,
                date: DateHeader(secondsSince1970: { 784_111_777 }),
                // The channel's own runs only when a test says so.
                executor: EventLoopExecutor(MultiThreadedEventLoopGroup.singleton.next()),
                refusesAll: refusesAll
            )
            try channel.pipeline.syncOperations.addHandlers(
                MetadataServer.handlers(handler, known: known, limits: configuration.limits))
        }
        try await channel.connect(to: SocketAddress(ipAddress: "169.254.169.254", port: 80))
    }

    func send(_ text: String) async throws {
        try await channel.writeInbound(ByteBuffer(string: text))
    }

    func send(_ bytes: [UInt8]) async throws {
        try await channel.writeInbound(ByteBuffer(bytes: bytes))
    }

    func receive() async throws -> TestResponse {
        try TestResponse(parsing: String(buffer: await channel.waitForOutboundWrite(as: ByteBuffer.self)))
    }

    /// The bytes that have been written already, if any.
    func receiveNow() async throws -> TestResponse? {
        // Before it closes, the handler flushes with an empty write.
        guard let bytes = try await channel.readOutbound(as: ByteBuffer.self), bytes.readableBytes > 0 else {
            return nil
        }
        return try TestResponse(parsing: String(buffer: bytes))
    }

    func exchange(_ text: String) async throws -> TestResponse {
        try await send(text)
        return try await receive()
    }

    func advance(by time: TimeAmount) async {
        await channel.testingEventLoop.advanceTime(by: time)
    }

    func fire(_ event: some Sendable) async throws {
        try await channel.testingEventLoop.executeInContext { [channel] in
            channel.pipeline.syncOperations.fireUserInboundEventTriggered(event)
        }
    }

    var isOpen: Bool { channel.isActive }

    func close() async { _ = try? await channel.finish(acceptAlreadyClosed: true) }
}

struct TestResponse: Sendable, Equatable {
    var statusLine: String
    var names: [String]
    var headers: [String: String]
    var body: String

    init(parsing text: String) throws {
        let end = try #require(text.utf8Range(of: "\r\n\r\n"), "no end of head in \(text)")
        let lines = text[..<end.lowerBound].split(separator: "\r\n", omittingEmptySubsequences: false)
        statusLine = String(lines[0])
        let fields = lines.dropFirst().map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (String(line[..<colon]), String(line[colon...].dropFirst(2)))
        }
        names = fields.map(\.0)
        headers = Dictionary(fields, uniquingKeysWith: { "\($0), \($1)" })
        body = String(text[end.upperBound...])
    }

    var status: Int { Int(statusLine.split(separator: " ")[1]) ?? 0 }
    var closes: Bool { headers["Connection"] == "close" }
}

extension String {
    func utf8Range(of other: String) -> Range<String.Index>? {
        var index = startIndex
        while index < endIndex {
            if self[index...].utf8.starts(with: other.utf8) {
                return index..<utf8.index(index, offsetBy: other.utf8.count)
            }
            index = utf8.index(after: index)
        }
        return nil
    }
}

/// A request for HTTP/1.1 with the headers that a well-behaved client sends.
func get(
    _ path: String, method: String = "GET", flavor: Bool = true, host: String = "metadata.google.internal",
    _ headers: String..., body: String = ""
) -> String {
    let lines = ["\(method) \(path) HTTP/1.1", "Host: \(host)"] + (flavor ? ["Metadata-Flavor: Google"] : []) + headers
    return lines.map { $0 + "\r\n" }.joined() + "\r\n" + body
}
