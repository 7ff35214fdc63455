import Attribution
import NIOCore
import NIOHTTP1
import Testing

@testable import MetadataProtocol
@testable import MetadataServer
@testable import Tokens

private let token = "/computeMetadata/v1/instance/service-accounts/default/token"

/// Answers that are given again while their lease holds.
@Suite(.timeLimit(.minutes(10))) struct ResponseCacheTests {
    private let leased = ResponseCache()
    private let backend = FakeBackend()
    private let responder: MetadataResponder

    init() {
        let backend = backend
        responder = MetadataResponder(configuration: .test, backend: backend)
        backend.update { state in
            state.isTokenCached = true
            state.lease = TokenLease(end: .now + .seconds(3600))
            state.leaseHolds = true
        }
    }

    private func ask(_ target: String = token) throws -> Response {
        let request = try responder.validate(.init(version: .http1_1, method: .GET, uri: target, headers: .asked))
        guard case .answer(let response) = responder.respond(to: request, leased: leased) else {
            throw NotAnswered()
        }
        return response
    }

    private struct NotAnswered: Error {}

    @Test("A leased answer is the one that was given, and is not looked up")
    func again() throws {
        let first = try ask()
        #expect(leased.count == 1)
        // Whatever a look-up would find now.
        backend.update { $0.isTokenCached = false }
        #expect(try ask() == first)
    }

    @Test("An answer whose lease has ended is looked up")
    func ended() throws {
        _ = try ask()
        backend.update { state in
            state.leaseHolds = false
            state.isTokenCached = false
        }
        #expect(throws: NotAnswered.self) { try ask() }
    }

    @Test("Without a lease nothing is kept")
    func noLease() throws {
        backend.update { $0.lease = nil }
        _ = try ask()
        #expect(leased.count == 0)
    }

    @Test("Other scopes are another answer, and what is no access token is not kept")
    func otherRequests() throws {
        let first = try ask()
        #expect(try ask(token + "?scopes=a") != first)
        #expect(leased.count == 2)
        _ = try ask("/computeMetadata/v1/instance/service-accounts/default/email")
        _ = try ask("/")
        #expect(leased.count == 2)
    }

    @Test("A pod that never asks twice alike keeps a bounded number of answers, and another pod's stay")
    func boundPerPod() throws {
        let usual = try ask()
        var other = TestPod.p1.record
        other.uid = .test(7)
        let caller = Caller(pod: other, containerID: nil, cgroupID: CgroupID(rawValue: 7))
        let identification = backend.read(\.identification)
        backend.update { $0.identification = .caller(caller) }
        for number in 0..<(ResponseCache.limit * 2) { _ = try ask(token + "?x=\(number)") }
        #expect(leased.count == 1 + ResponseCache.limitPerPod)
        backend.update { $0.identification = identification }
        backend.update { $0.isTokenCached = false }
        #expect(try ask() == usual)
    }

    @Test("What was dropped makes room again")
    func room() throws {
        for number in 0..<ResponseCache.limitPerPod { _ = try ask(token + "?x=\(number)") }
        backend.update { $0.lease = TokenLease(end: .now + .seconds(7200)) }
        _ = try ask()
        #expect(leased.count == ResponseCache.limitPerPod)
        let ended = ResponseCache()
        let request = try responder.validate(.init(version: .http1_1, method: .GET, uri: token, headers: .asked))
        let response = try ask()
        for _ in 1...2 {
            ended.store(response, to: request, from: TestPod.p1.record, for: TokenLease(end: .now))
            ended.dropEnded()
            #expect(ended.count == 0)
        }
    }

    @Test("Requests that differ in what is ignored differ in their hash, which was made when they were decoded")
    func hashes() throws {
        let hashes = try (0..<1000).map { number in
            try responder.validate(
                .init(version: .http1_1, method: .GET, uri: token + "?x=\(number)", headers: .asked)
            ).hashValue
        }
        #expect(Set(hashes).count == 1000)
    }

    @Test("An answer goes to no other pod, and not to a pod whose record has changed")
    func otherPods() throws {
        _ = try ask()
        backend.update { $0.isTokenCached = false }
        for change in [
            { (pod: inout PodRecord) in pod.uid = .test(7) }, { $0.serviceAccountName = "other" },
            { $0.namespace = "other" }, { $0.isTerminating = true },
        ] {
            var pod = TestPod.p1.record
            change(&pod)
            let caller = Caller(pod: pod, containerID: nil, cgroupID: CgroupID(rawValue: 7))
            backend.update { $0.identification = .caller(caller) }
            #expect(throws: NotAnswered.self) { try ask() }
        }
    }

    @Test("The bytes of a cached answer are those that its first write had, in each form, with the date of now")
    func bytes() throws {
        _ = try ask()
        let request = try responder.validate(.init(version: .http1_1, method: .GET, uri: token, headers: .asked))
        let identification = backend.read(\.identification)
        let cached = try #require(responder.cachedAnswer(to: request, as: identification, in: leased))
        let dates = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "today"]
        var given: [(bytes: ByteBuffer, expected: ByteBuffer)] = []
        for version in [HTTPVersion.http1_0, .http1_1, .http1_1] {
            for (method, keepsAlive) in [(HTTPMethod.GET, true), (.GET, false), (.HEAD, true)] {
                for date in dates + dates {
                    let head = HTTPRequestHead(version: version, method: method, uri: token)
                    let framing = Response.Framing(head, keepsAlive: keepsAlive)
                    var expected = ByteBuffer()
                    cached.response.write(to: &expected, framing: framing, date: date)
                    given.append((cached.bytes(framing: framing, date: date), expected))
                }
            }
        }
        // All at the end: what was given once stays as it was.
        for (bytes, expected) in given { #expect(String(buffer: bytes) == String(buffer: expected)) }
    }

    @Test("A caller without an identity is refused, lease or not")
    func refused() throws {
        _ = try ask()
        backend.update { $0.identification = .refused(.podGone) }
        #expect(try ask().status == .forbidden)
    }
}

extension HTTPHeaders {
    fileprivate static let asked: HTTPHeaders = ["Host": "metadata", "Metadata-Flavor": "Google"]
}
