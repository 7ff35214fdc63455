import Attribution
import Crypto
import Foundation
import NIOCore
import NIOPosix
import SwiftASN1
import Synchronization
import Testing
import X509

@testable import Signer
@testable import SpiffeIdentity
@testable import SpiffeWorkload

/// The identities that the store obtains, keeps, pushes and drops.
@Suite(.timeLimit(.minutes(10))) struct IdentityStoreTests {
    private static let loop = MultiThreadedEventLoopGroup.singleton.next()

    private static func store(_ signer: FakeSigner, _ change: (inout WorkloadConfiguration) -> Void = { _ in })
        -> IdentityStore
    {
        var configuration = WorkloadConfiguration(trustDomain: FakeSigner.domain, authorities: [])
        configuration.bundleSpread = .zero
        change(&configuration)
        return IdentityStore(configuration: configuration, issuer: signer, observer: QuietObserver(), loop: loop)
    }

    private static func pod(_ number: Int = 1, name: String? = nil, account: String = "web") -> PodRecord {
        PodRecord(
            uid: known(PodUID("00000000-0000-0000-0000-00000000000\(number)")), namespace: "shop",
            name: name ?? "web-\(number)", serviceAccountName: account)
    }

    /// The certificates of a FetchX509SVID message.
    private static func chain(_ message: ByteBuffer) throws -> (id: String, leaf: [UInt8], bundle: [UInt8]) {
        var reader = ProtobufReader(known(message.getSlice(at: 5, length: message.readableBytes - 5)))
        guard case .bytes(let svid)? = try reader.next()?.value else { throw ProtobufError() }
        var fields: [Int: ProtobufReader.Value] = [:]
        var inner = ProtobufReader(svid)
        while let (field, value) = try inner.next() { fields[field] = value }
        func bytes(_ field: Int) -> [UInt8] {
            if case .bytes(let bytes)? = fields[field] { Array(bytes.readableBytesView) } else { [] }
        }
        return (fields[1]?.string ?? "", bytes(2), bytes(4))
    }

    @Test("ten calls at once of a new pod are one exchange, and the next is none")
    func singleFlight() async throws {
        let signer = try FakeSigner()
        let store = Self.store(signer)
        signer.hold()
        let messages = try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
            for _ in 0..<10 { group.addTask { try await store.fetchCertificateMessage(for: Self.pod()) } }
            while signer.state.withLock({ $0.gate?.isEmpty ?? false }) { await Task.yield() }
            signer.open()
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(messages).count == 1)
        #expect(signer.state.withLock(\.requests) == 1)
        #expect(store.certificateMessage(for: Self.pod()) == messages[0])
        #expect(try Self.chain(messages[0]).id == "spiffe://test.example/ns/shop/sa/web")
    }

    @Test("pods have keys of their own, also of one ServiceAccount, and a reused UID's other pod or account is another")
    func separation() async throws {
        let store = Self.store(try FakeSigner())
        let first = try Self.chain(try await store.fetchCertificateMessage(for: Self.pod(1)))
        let second = try Self.chain(try await store.fetchCertificateMessage(for: Self.pod(2)))
        #expect(first.id == second.id && first.leaf != second.leaf)
        let restored = Self.pod(1, name: "restored")
        #expect(store.certificateMessage(for: restored) == nil)
        #expect(try Self.chain(try await store.fetchCertificateMessage(for: restored)).leaf != first.leaf)
        #expect(store.certificateMessage(for: Self.pod(1)) == nil)
        let other = Self.pod(1, account: "admin")
        #expect(store.certificateMessage(for: other) == nil)
        #expect(try Self.chain(try await store.fetchCertificateMessage(for: other)).id.hasSuffix("/sa/admin"))
    }

    @Test("a final no is remembered, and what did not answer is asked again")
    func failures() async throws {
        let signer = try FakeSigner()
        let store = Self.store(signer) { $0.holdLimit = .milliseconds(700) }
        signer.state.withLock { $0.failure = IssueFailure(.denied, "no") }
        for _ in 0..<3 {
            let status = await #expect(throws: GRPCStatus.self) {
                try await store.fetchCertificateMessage(for: Self.pod())
            }
            #expect(status == .noIdentity("no"))
        }
        #expect(signer.state.withLock(\.requests) == 1)
        signer.state.withLock { $0.failure = IssueFailure(.unavailable, "down") }
        let status = await #expect(throws: GRPCStatus.self) {
            try await store.fetchCertificateMessage(for: Self.pod(2))
        }
        #expect(status?.code == .unavailable)
        #expect(signer.state.withLock(\.requests) > 2, "it was tried again while the client waited")
    }

    /// The states that a stream shows, in order.
    private final class Recorder: Sendable {
        let events: AsyncStream<Result<ByteBuffer, GRPCStatus>>
        private let continuation: AsyncStream<Result<ByteBuffer, GRPCStatus>>.Continuation
        let identification: Mutex<Identification>

        init(_ pod: PodRecord) {
            (events, continuation) = AsyncStream.makeStream()
            identification = Mutex(.caller(Caller(pod: pod, containerID: nil, cgroupID: CgroupID(rawValue: 1))))
        }

        func open(_ store: IdentityStore, _ method: WorkloadMethod, _ pod: PodRecord) throws {
            let peer = WorkloadPeer(
                transport: .tcp, identify: { self.identification.withLock { $0 } },
                identifyHolding: { _ in self.identification.withLock { $0 } })
            _ = try store.open(
                method, for: pod, peer: peer, eventLoop: MultiThreadedEventLoopGroup.singleton.next(),
                changed: { pod in
                    if let message = store.message(of: method, for: pod) { self.continuation.yield(.success(message)) }
                }, end: { self.continuation.yield(.failure($0)) })
        }

        func next() async -> Result<ByteBuffer, GRPCStatus>? { await events.first { _ in true } }

        func pushed() async throws -> ByteBuffer {
            let event = await next()
            return try #require(event, "the stream ended").get()
        }
    }

    @Test("a certificate is renewed at half its life, and pushed into the pod's stream")
    func renewal() async throws {
        let store = Self.store(try FakeSigner(seconds: 2))
        let pod = Self.pod()
        let first = try await store.fetchCertificateMessage(for: pod)
        let recorder = Recorder(pod)
        try recorder.open(store, .fetchX509SVID, pod)
        let second = try await recorder.pushed()
        #expect(try Self.chain(first).leaf != Self.chain(second).leaf)
        #expect(try Self.chain(first).bundle == Self.chain(second).bundle)
        store.forget(pod.uid)
    }

    @Test("a stream that opens after the time of a renewal gets the next certificate all the same")
    func lateStream() async throws {
        let store = Self.store(try FakeSigner(seconds: 8))
        let pod = Self.pod()
        let first = try await store.fetchCertificateMessage(for: pod)
        // As if half of its life had passed while no stream was open.
        store.storage.withLock { $0.pods[pod.uid]?.renewal?.cancel() }
        store.renew(pod.uid)
        let recorder = Recorder(pod)
        try recorder.open(store, .fetchX509SVID, pod)
        let second = try await recorder.pushed()
        #expect(try Self.chain(first).leaf != Self.chain(second).leaf)
        store.forget(pod.uid)
    }

    @Test("a renewal that is refused for longer than the time until the next try is tried again all the same")
    func refusedRenewal() async throws {
        let signer = try FakeSigner(seconds: 8)
        let store = Self.store(signer)
        let pod = Self.pod()
        let first = try await store.fetchCertificateMessage(for: pod)
        let recorder = Recorder(pod)
        try recorder.open(store, .fetchX509SVID, pod)
        signer.state.withLock { $0.failure = IssueFailure(.denied, "not now", rest: .seconds(3)) }
        store.renew(pod.uid)
        while store.storage.withLock({ $0.pods[pod.uid]?.failure == nil }) { await Task.yield() }
        signer.state.withLock { $0.failure = nil }
        let second = try await recorder.pushed()
        #expect(try Self.chain(first).leaf != Self.chain(second).leaf)
        store.forget(pod.uid)
    }

    @Test("a token whose end is no clock's is served as one of a year")
    func endlessToken() async throws {
        let store = Self.store(try FakeSigner(seconds: 1e30))
        let pod = Self.pod()
        let first = try await store.fetchTokenMessage(for: pod, audience: ["a"])
        #expect(store.tokenMessage(for: pod, audience: ["a"]) == first)
    }

    @Test("nothing is pushed to a pod that is refused since: its stream ends with a final no")
    func refusedSince() async throws {
        let store = Self.store(try FakeSigner(seconds: 2))
        let pod = Self.pod()
        _ = try await store.fetchCertificateMessage(for: pod)
        let recorder = Recorder(pod)
        try recorder.open(store, .fetchX509SVID, pod)
        recorder.identification.withLock { $0 = .refused(.podGone) }
        guard case .failure(let status)? = await recorder.next() else {
            Issue.record("something was pushed")
            return
        }
        #expect(status == .noIdentity("the pod is gone"))
        store.forget(pod.uid)
    }

    @Test("a pod that is forgotten loses its streams, its key and its tokens")
    func forgotten() async throws {
        let store = Self.store(try FakeSigner())
        let pod = Self.pod()
        _ = try await store.fetchCertificateMessage(for: pod)
        _ = try await store.fetchTokenMessage(for: pod, audience: ["vault"])
        let recorder = Recorder(pod)
        try recorder.open(store, .fetchX509SVID, pod)
        #expect(store.holdings == (1, 1, 1))
        store.forget(pod.uid)
        #expect(store.holdings == (0, 0, 0))
        guard case .failure(let status)? = await recorder.next() else {
            Issue.record("the stream goes on")
            return
        }
        #expect(status.code == .permissionDenied)
    }

    @Test("a new bundle is pushed into every stream, with the certificate that the pod has")
    func bundle() async throws {
        let signer = try FakeSigner()
        let store = Self.store(signer)
        let pod = Self.pod()
        let first = try Self.chain(try await store.fetchCertificateMessage(for: pod))
        let (svid, bundles) = (Recorder(pod), Recorder(pod))
        try svid.open(store, .fetchX509SVID, pod)
        try bundles.open(store, .fetchX509Bundles, pod)
        let (_, next) = try FakeSigner.makeAuthority("next")
        signer.state.withLock { $0.bundle.authorities.append(next) }
        try await store.refreshedBundle()
        let second = try Self.chain(try await svid.pushed())
        _ = try await bundles.pushed()
        #expect(second.leaf == first.leaf && second.bundle == first.bundle + next)
    }

    @Test("a certificate of an authority that the bundle does not name yet is taken with the next bundle")
    func newAuthority() async throws {
        let signer = try FakeSigner()
        let store = Self.store(signer)
        _ = try await store.fetchCertificateMessage(for: Self.pod(1))
        let (authority, der) = try FakeSigner.makeAuthority("next")
        signer.state.withLock { state in
            state.authority = authority
            state.bundle.authorities.append(der)
        }
        let message = try Self.chain(try await store.fetchCertificateMessage(for: Self.pod(2)))
        #expect(message.bundle.count > der.count)
        // One that no bundle names is refused.
        let (foreign, _) = try FakeSigner.makeAuthority("foreign")
        signer.state.withLock { $0.authority = foreign }
        let short = Self.store(signer) { $0.holdLimit = .milliseconds(100) }
        await #expect(throws: GRPCStatus.self) { try await short.fetchCertificateMessage(for: Self.pod(3)) }
    }

    @Test("tokens are kept by their audiences until half their life, and served longer when the signer is down")
    func tokens() async throws {
        let signer = try FakeSigner(seconds: 100)
        let store = Self.store(signer)
        let pod = Self.pod()
        let first = try await store.fetchTokenMessage(for: pod, audience: ["a", "b"])
        #expect(store.tokenMessage(for: pod, audience: ["a", "b"]) == first)
        #expect(store.tokenMessage(for: pod, audience: ["a"]) == nil)
        #expect(store.tokenMessage(for: Self.pod(2), audience: ["a", "b"]) == nil)
        #expect(store.tokenMessage(for: pod, audience: ["a", "b"], container: "c") == nil)
        let query = TokenQuery(audience: ["a", "b"], container: nil)
        // As if half of its life had passed.
        store.storage.withLock { $0.pods[pod.uid]?.tokens[query]?.token?.refreshAt = .now }
        signer.state.withLock { $0.failure = IssueFailure(.unavailable, "down") }
        #expect(try await store.fetchTokenMessage(for: pod, audience: ["a", "b"]) == first)
        // As if less than a minute were left.
        store.storage.withLock { $0.pods[pod.uid]?.tokens[query]?.token?.endsAt = .now }
        let ended = Self.store(signer) { $0.holdLimit = .milliseconds(100) }
        await #expect(throws: GRPCStatus.self) { try await ended.fetchTokenMessage(for: pod, audience: ["a", "b"]) }
    }

    @Test("a pod has so many streams and so many sets of audiences, and no more")
    func limits() async throws {
        let store = Self.store(try FakeSigner()) { configuration in
            configuration.streamsPerPod = 2
            configuration.tokensPerPod = 2
        }
        let pod = Self.pod()
        let recorder = Recorder(pod)
        for _ in 0..<2 { try recorder.open(store, .fetchX509SVID, pod) }
        #expect(throws: GRPCStatus.streamLimit) { try recorder.open(store, .fetchX509SVID, pod) }
        try recorder.open(store, .fetchX509SVID, Self.pod(2))
        for audience in ["a", "b"] { _ = try await store.fetchTokenMessage(for: pod, audience: [audience]) }
        let status = await #expect(throws: GRPCStatus.self) {
            try await store.fetchTokenMessage(for: pod, audience: ["c"])
        }
        #expect(status?.code == .resourceExhausted)
    }
}
