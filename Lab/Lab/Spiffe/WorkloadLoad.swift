import Foundation
import NIOCore
import NIOHPACK
import NIOHTTP2
package import NIOPosix

/// Many calls of the SPIFFE endpoint over kept connections, several at a time, each answer compared with who asks.
package struct WorkloadLoad: Sendable {
    /// A method that the load calls.
    package enum Method: String, Sendable, CaseIterable {
        case certificate = "FetchX509SVID"
        case token = "FetchJWTSVID"
        case bundles = "FetchX509Bundles"

        /// Whether the server goes on after the first message, so that the client ends the call.
        var isStream: Bool { self != .token }
    }

    package struct Report: Sendable, Codable, Equatable {
        package var calls = 0
        package var wrong = 0
        /// Refused, cut, or answered with anything else.
        package var failed = 0
        package var firstFailure: String?
        package var seconds = 0.0

        mutating func add(_ other: Report) {
            calls += other.calls
            wrong += other.wrong
            failed += other.failed
            firstFailure = firstFailure ?? other.firstFailure
        }
    }

    package var host = "169.254.169.254"
    package var port = LabSigner.endpointPort
    /// Called in turns.
    package var methods = Method.allCases
    package var audience = "load"
    package var calls = 1000
    /// Calls end after this time, however many are left.
    package var seconds = 600.0
    /// Calls at a time on one connection.
    package var width = 8
    /// The number of calls after which a new connection is made.
    package var perConnection = Int.max
    /// Whether streams stay open after their message, until `seconds` have passed: `calls` is their number, and `width` too.
    package var holds = false
    /// The SPIFFE ID of the pod that asks; `nil`: answers are not looked at.
    package var id: String?
    /// The UID of the pod that asks, which tokens name.
    package var podUID: String?

    package init() {}

    /// Makes the calls.
    package func run(group: MultiThreadedEventLoopGroup = .singleton) async throws -> Report {
        let start = ContinuousClock.now
        let end = start + .seconds(seconds)
        var report = Report()
        while report.calls < calls, ContinuousClock.now < end {
            let part = min(perConnection, calls - report.calls)
            let next = try await connection(part, from: report.calls, until: end, group)
            report.add(next)
            // A connection that was made in the last moment has no time left for a call.
            if next.calls == 0, next.firstFailure != nil || ContinuousClock.now < end {
                report.calls += 1
                report.failed += 1
                report.firstFailure = report.firstFailure ?? "no call ended"
            }
        }
        report.seconds = (ContinuousClock.now - start) / .seconds(1)
        return report
    }

    private func connection(
        _ count: Int, from number: Int, until end: ContinuousClock.Instant, _ group: MultiThreadedEventLoopGroup
    ) async throws -> Report {
        let loop = group.next()
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                            mode: .client, connectionConfiguration: .init(), streamConfiguration: .init(),
                            inboundStreamInitializer: { $0.close() })
                    }
                }
                .connect(host: host, port: port).get()
        } catch {
            return Report(firstFailure: "\(error)")
        }
        let multiplexer = try await channel.pipeline.handler(type: NIOHTTP2Handler.self).flatMap { $0.multiplexer }
            .get()
        let load = self
        let report = try await loop.flatSubmit {
            LoadedConnection(load, channel, multiplexer, count: count, number: number, until: end).start()
        }.get()
        if holds { try? await Task.sleep(until: end, clock: .continuous) }
        try? await channel.close().get()
        return report
    }

    /// Why an answer is none of the caller's; `nil`: it is. `isWrong` where it is another's.
    func judge(_ method: Method, _ message: ByteBuffer) -> (problem: String, isWrong: Bool)? {
        guard let id else { return nil }
        switch method {
        case .bundles:
            guard ProtobufFields(message).first(2) == nil else { return nil }
            return ("no bundle", false)
        case .certificate:
            guard let svid = ProtobufFields(message).first(1), let found = ProtobufFields(svid).text(1) else {
                return ("no SVID", false)
            }
            guard found != id else { return nil }
            return ("the SVID of \(found)", true)
        case .token:
            guard let svid = ProtobufFields(message).first(1), let text = ProtobufFields(svid).text(2),
                let token = JSONWebToken(text)
            else { return ("no token", false) }
            let subject = token.claims["sub"]?.string
            let uid = token.claims["kubernetes.io"]?["pod"]?["uid"]?.string
            guard subject == id, podUID == nil || uid == podUID else {
                return ("the token of \(subject ?? "nobody"), pod \(uid ?? "none")", true)
            }
            return nil
        }
    }
}

/// The fields of a message that hold bytes.
struct ProtobufFields {
    private var fields: [(number: Int, bytes: ByteBuffer)] = []

    init(_ message: ByteBuffer) {
        var rest = message
        while let key = Self.varint(&rest) {
            if key & 7 == 0 {
                _ = Self.varint(&rest)
                continue
            }
            guard key & 7 == 2, let length = Self.varint(&rest), let bytes = rest.readSlice(length: length) else {
                return
            }
            fields.append((key >> 3, bytes))
        }
    }

    func first(_ number: Int) -> ByteBuffer? { fields.first { $0.number == number }?.bytes }

    func text(_ number: Int) -> String? { first(number).map { String(buffer: $0) } }

    private static func varint(_ bytes: inout ByteBuffer) -> Int? {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) {
            guard let byte: UInt8 = bytes.readInteger() else { return nil }
            value |= Int(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }
}

/// The calls of one connection.
private final class LoadedConnection {
    private let load: WorkloadLoad
    private let channel: any Channel
    private let multiplexer: NIOHTTP2Handler.StreamMultiplexer
    private let end: ContinuousClock.Instant
    private let promise: EventLoopPromise<WorkloadLoad.Report>
    private let heads: [HPACKHeaders]
    private let bodies: [ByteBuffer]
    private var left: Int
    private var number: Int
    private var running = 0
    private var report = WorkloadLoad.Report()

    init(
        _ load: WorkloadLoad, _ channel: any Channel, _ multiplexer: NIOHTTP2Handler.StreamMultiplexer, count: Int,
        number: Int, until end: ContinuousClock.Instant
    ) {
        self.load = load
        self.channel = channel
        self.multiplexer = multiplexer
        self.end = end
        promise = channel.eventLoop.makePromise()
        left = count
        self.number = number
        heads = load.methods.map { method in
            [
                ":method": "POST", ":scheme": "http", ":path": "/SpiffeWorkloadAPI/\(method.rawValue)",
                ":authority": "\(load.host):\(load.port)", "content-type": "application/grpc", "te": "trailers",
                "workload.spiffe.io": "true",
            ]
        }
        bodies = load.methods.map { method in
            let audience = Array(load.audience.utf8.prefix(120))
            let message = method == .token ? [0x0a, UInt8(audience.count)] + audience : []
            return ByteBuffer(bytes: [0, 0, 0, 0, UInt8(message.count)] + message)
        }
    }

    func start() -> EventLoopFuture<WorkloadLoad.Report> {
        for _ in 0..<load.width { next() }
        return promise.futureResult
    }

    private func next() {
        guard left > 0, ContinuousClock.now < end, channel.isActive else {
            if running == 0 { promise.succeed(report) }
            return
        }
        left -= 1
        running += 1
        let index = number % load.methods.count
        number += 1
        let method = load.methods[index]
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        let (head, body, load) = (heads[index], bodies[index], load)
        let isOver = NIOLoopBoundBox(false, eventLoop: channel.eventLoop)
        let end: @Sendable (LoadedCall.Outcome) -> Void = { outcome in
            guard !isOver.value else { return }
            isOver.value = true
            bound.value.ended(method, outcome)
        }
        let opened = channel.eventLoop.makePromise(of: (any Channel).self)
        // On a connection that has ended meanwhile no stream begins, and no handler says so.
        opened.futureResult.whenFailure { end(.failed("no stream: \($0)")) }
        multiplexer.createStreamChannel(promise: opened) { stream in
            stream.eventLoop.makeCompletedFuture {
                try stream.pipeline.syncOperations.addHandler(
                    LoadedCall(head, body, isStream: method.isStream, isHeld: load.holds, done: end))
            }
        }
    }

    private func ended(_ method: WorkloadLoad.Method, _ outcome: LoadedCall.Outcome) {
        running -= 1
        report.calls += 1
        switch outcome {
        case .failed(let reason):
            report.failed += 1
            report.firstFailure = report.firstFailure ?? "\(method.rawValue): \(reason)"
        case .message(let message):
            if let (problem, isWrong) = load.judge(method, message) {
                if isWrong { report.wrong += 1 } else { report.failed += 1 }
                report.firstFailure = report.firstFailure ?? "\(method.rawValue): \(problem)"
            }
        }
        // After this stream is gone.
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        channel.eventLoop.execute { bound.value.next() }
    }
}

@available(*, unavailable)
extension LoadedConnection: Sendable {}
