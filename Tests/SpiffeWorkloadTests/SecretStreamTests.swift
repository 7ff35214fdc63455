import Attribution
import Foundation
import NIOCore
import NIOEmbedded
import NIOHPACK
import Synchronization
import Testing

@testable import Signer
@testable import SpiffeIdentity
@testable import SpiffeWorkload

/// The stream of secrets: what it answers to which request of xDS.
@Suite(.timeLimit(.minutes(10))) struct SecretStreamTests {
    private static let pod = RawConnection.pod
    private static let id = known(SpiffeID("spiffe://test.example/ns/shop/sa/web"))

    /// One stream with a client's hand on it.
    private final class Stream: Sendable {
        private let connection: RawConnection
        private let observer: Counting
        var store: IdentityStore { connection.store }
        var rejections: Int { observer.rejections.load(ordering: .relaxed) }

        init(_ signer: FakeSigner, of other: Stream? = nil) async throws {
            observer = Counting()
            connection = try await RawConnection(signer, store: other?.store, observer: observer)
            try await connection.begin()
            let fields: [(String, String)] = [
                (":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
                (":path", "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"),
                ("content-type", "application/grpc"),
            ]
            try await send(frames: connection.head(1, fields))
        }

        private final class Counting: WorkloadObserver {
            let rejections = Atomic(0)
            func ended(_ method: WorkloadMethod?, with status: GRPCStatus.Code) {}
            func refused(_ pod: PodRecord?, _ method: WorkloadMethod?, _ status: GRPCStatus) {}
            func issued(_ svid: IssuedSVID, for pod: PodRecord, took: Duration) {}
            func failed(_ kind: IssuedSVID.Kind, for pod: PodRecord, _ failure: IssueFailure) {}
            func pushed(_ method: WorkloadMethod) {}
            func rejected() { rejections.add(1, ordering: .relaxed) }
            func connectionRefused() {}
        }

        func send(_ names: [String], nonce: String = "", isRejection: Bool = false, isLast: Bool = false) async throws {
            var writer = ProtobufWriter()
            for name in names { writer.write(3, string: name) }
            writer.write(5, string: nonce)
            if isRejection { writer.write(6) { $0.write(2, string: "bad") } }
            try await send(WorkloadMessages.framed(writer), isLast: isLast)
        }

        func send(_ bytes: ByteBuffer, isLast: Bool = false) async throws {
            var rest = Array(bytes.readableBytesView)[...]
            repeat {
                let part = Array(rest.prefix(16_000))
                rest = rest.dropFirst(part.count)
                try await send(frames: RawConnection.data(1, part, isLast: isLast && rest.isEmpty))
            } while !rest.isEmpty
        }

        private func send(frames: [UInt8]) async throws {
            _ = try await connection.channel.writeInbound(ByteBuffer(bytes: frames))
        }

        func close() async throws { try await connection.close() }

        /// The next answer's nonce and the names of its secrets, or the status that the stream ends with.
        func next() async throws -> String {
            while true {
                let frame = try await connection.next()
                switch frame.type {
                case .headers:
                    if let status = try connection.fields(frame).first(name: "grpc-status") {
                        return "status \(status)"
                    }
                case .data: return try Self.text(frame.payload)
                default: continue
                }
            }
        }

        private static func text(_ frame: ByteBuffer) throws -> String {
            var reader = ProtobufReader(known(frame.getSlice(at: 5, length: frame.readableBytes - 5)))
            var (nonce, names) = ("", [String]())
            while let (field, value) = try reader.next() {
                if field == 5 { nonce = value.string ?? "" }
                guard field == 2, case .bytes(let any) = value else { continue }
                var secrets = ProtobufReader(any)
                while let (field, value) = try secrets.next() {
                    guard field == 2, case .bytes(let secret) = value else { continue }
                    var inner = ProtobufReader(secret)
                    names.append(try inner.next()?.value.string ?? "")
                }
            }
            return "\(nonce): \(names.joined(separator: " "))"
        }
    }

    @Test(
        "an acknowledgement, a rejection and an outdated request get no answer; other names, a new bundle and an end do"
    )
    func protocolOfRequests() async throws {
        let signer = try FakeSigner()
        let stream = try await Stream(signer)
        try await stream.send(["default"])
        #expect(try await stream.next() == "1: default")
        try await stream.send(["default"], nonce: "1")
        try await stream.send(["default"], nonce: "1", isRejection: true)
        try await stream.send(["ROOTCA"], nonce: "0")
        try await stream.send(["default", "ROOTCA"], nonce: "1")
        #expect(try await stream.next() == "2: ROOTCA default", "nothing before it")
        #expect(stream.rejections == 1)
        let (_, next) = try FakeSigner.makeAuthority("next")
        signer.state.withLock { $0.bundle.authorities.append(next) }
        _ = try await stream.store.refreshedBundle()
        #expect(try await stream.next() == "3: ROOTCA default")
        stream.store.forget(Self.pod.uid)
        #expect(try await stream.next() == "status 7")
        #expect(stream.store.holdings.streams == 0)
    }

    @Test("without names a stream shows the caller's own two secrets; foreign names and no requests end it")
    func names() async throws {
        let signer = try FakeSigner()
        let all = try await Stream(signer)
        try await all.send([])
        #expect(try await all.next() == "1: \(Self.id) spiffe://test.example")
        for (names, status) in [
            (["spiffe://test.example/ns/shop/sa/admin"], 7), (["default", "other"], 7),
            ((0..<17).map { "name-\($0)" }, 3),
        ] {
            let stream = try await Stream(signer)
            try await stream.send(names)
            #expect(try await stream.next() == "status \(status)")
        }
        let empty = try await Stream(signer)
        try await empty.send(ByteBuffer(), isLast: true)
        #expect(try await empty.next() == "status 3")
        let garbage = try await Stream(signer)
        try await garbage.send(ByteBuffer(bytes: [0, 0, 0, 0, 1, 0xff]))
        #expect(try await garbage.next() == "status 3")
        let long = try await Stream(signer)
        try await long.send(ByteBuffer(bytes: [0, 0x7f, 0, 0, 0]))
        #expect(try await long.next() == "status 8")
    }

    @Test("a long request leaves no memory behind that the pod's share does not count")
    func messages() throws {
        var messages = CallMessages(limit: 300_000)
        var long = ByteBuffer(bytes: [0, 0, 4, 0, 0])
        long.writeRepeatingByte(0x58, count: 262_144)
        messages.append(long)
        messages.append(ByteBuffer(repeating: 0, count: 5 * 3276 + 4))
        var count = 0
        while try messages.next() != nil { count += 1 }
        #expect(count == 3277)
        messages.releaseRead()
        #expect(messages.size == 4 && messages.buffer.storageCapacity <= 64)
    }

    @Test("unfinished requests of one pod are kept up to its share, whatever the number of its streams, and no longer")
    func budget() async throws {
        let signer = try FakeSigner()
        let first = try await Stream(signer)
        let budget = first.store.budget
        // The header of a message of 200,000 bytes, and most of them.
        let part = ByteBuffer(bytes: [0, 0, 3, 0x0d, 0x40] + [UInt8](repeating: 0, count: 180_000))
        try await first.send(part)
        var streams = [first]
        for _ in 0..<20 {
            let stream = try await Stream(signer, of: first)
            try await stream.send(part)
            streams.append(stream)
            #expect(budget.total <= first.store.configuration.pendingBytes.pod)
        }
        #expect(budget.total == 5 * 180_005, "five fit into one mebibyte")
        for stream in streams.dropFirst(5) { #expect(try await stream.next() == "status 8") }
        #expect(budget.podCount == 1)
        for stream in streams { try await stream.close() }
        #expect(budget.total == 0 && budget.podCount == 0)
    }
}
