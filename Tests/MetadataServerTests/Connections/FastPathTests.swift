import Attribution
import NIOCore
import Synchronization
import Testing

@testable import MetadataProtocol
@testable import MetadataServer
@testable import Tokens

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

private let token = "/computeMetadata/v1/instance/service-accounts/default/token"

/// Connections that are answered where they are accepted.
@Suite(.timeLimit(.minutes(10))) struct FastPathTests {
    private let known = RequestCache()
    private let backend = FakeBackend()
    private let observer = RecordingObserver()
    private let handedOff = HandedOff()

    private final class HandedOff: Sendable {
        private let storage = Mutex<[CInt]>([])
        var descriptors: [CInt] { storage.withLock(\.self) }
        func append(_ descriptor: CInt) { storage.withLock { $0.append(descriptor) } }
        deinit { for descriptor in descriptors { close(descriptor) } }
    }

    /// A connection whose client has sent something.
    private final class Pair {
        let server: CInt
        let client: CInt

        init(sending text: String = "") throws {
            var ends: [CInt] = [-1, -1]
            try #require(
                unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
            (server, client) = (ends[0], ends[1])
            if !text.isEmpty { try send(text) }
        }

        func send(_ text: String) throws {
            let bytes = [UInt8](text.utf8)
            try #require(unsafe Glibc.send(client, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count)
        }

        /// The bytes that have arrived at the client, and how that ended: 0 for an orderly end, `EAGAIN` if it has not.
        func received() -> (text: String, end: CInt) {
            var bytes = [UInt8](repeating: 0, count: 65_536)
            var text = ""
            while true {
                let count = unsafe recv(client, &bytes, bytes.count, 0)
                guard count > 0 else { return (text, count == 0 ? 0 : errno) }
                text += String(decoding: bytes[..<count], as: UTF8.self)
            }
        }

        deinit { close(client) }
    }

    private func fastPath(tag: CallerTag? = .test) -> FastPath {
        let handedOff = handedOff
        return FastPath(
            responder: MetadataResponder(configuration: .test, backend: backend), known: known, observer: observer,
            readTag: { _ in tag }, handOff: { descriptor, _ in handedOff.append(descriptor) })
    }

    /// The request that the decoder makes of `text`, which is known from then on.
    private func learn(_ text: String) async throws -> TestResponse {
        let connection = try await TestConnection(backend, known: known)
        let answer = try await connection.exchange(text)
        await connection.close()
        return answer
    }

    private func withoutDate(_ answer: TestResponse) -> TestResponse {
        var answer = answer
        answer.headers["Date"] = nil
        return answer
    }

    init() {
        backend.update { $0.isTokenCached = true }
    }

    @Test(
        "a known request that ends its connection gets what the decoder's path gives, and an orderly end",
        arguments: [
            get(token, "Connection: close"), get(token, method: "HEAD", "Connection: close"),
            get(token).replacing("HTTP/1.1", with: "HTTP/1.0"), get("/", "Connection: close"),
            get("/computeMetadata/v1/instance/zone", "Connection: close"),
        ])
    func answered(_ text: String) async throws {
        let answer = try await learn(text)
        let fastPath = fastPath()
        for _ in 1...3 {
            let pair = try Pair(sending: text)
            fastPath.receive(pair.server)
            let received = pair.received()
            #expect(withoutDate(try TestResponse(parsing: received.text)) == withoutDate(answer))
            #expect(received.end == 0)
        }
        #expect(handedOff.descriptors == [])
        let record = observer.record
        #expect(record.opened == 3 && record.closed == 3 && record.answers.count == 3)
        #expect(record.answers.allSatisfy { $0.source == .cached && $0.status == .ok && $0.nanoseconds != nil })
    }

    @Test(
        "anything else is handed off, with every byte unread",
        arguments: [
            // Connections that outlive their request, and what follows a request.
            (get(token), get(token)), (get(token, "Connection: close"), get(token, "Connection: close") + "G"),
            (get(token, "Connection: close"), String(get(token, "Connection: close").dropLast())),
            // Other requests.
            (get("/", "Connection: close"), get(token, "Connection: close")),
            (get(token, "Connection: close"), get(token, flavor: false, "Connection: close")),
            (get(token, "Connection: close"), get(token, "Connection: close", "X-Forwarded-For: 1.2.3.4")),
            (get("/", "Connection: close"), "\r\n"),
            (get("/", "Connection: close"), String(repeating: "x", count: 8_000)),
        ])
    func handedOff(_ first: String, _ second: String) async throws {
        _ = try await learn(first)
        let fastPath = fastPath()
        let pair = try Pair(sending: second)
        fastPath.receive(pair.server)
        #expect(handedOff.descriptors == [pair.server])
        #expect(pair.received() == ("", EAGAIN))
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = unsafe recv(pair.server, &bytes, bytes.count, 0)
        #expect(String(decoding: bytes[..<max(count, 0)], as: UTF8.self) == second)
        #expect(observer.record.opened == 0 && observer.record.answers == [])
    }

    @Test("a client that is refused, or has to wait, is handed off: its answer is looked for again each time")
    func notAtHand() async throws {
        let text = get(token, "Connection: close")
        _ = try await learn(text)
        let fastPath = fastPath()
        let first = try Pair(sending: text)
        fastPath.receive(first.server)
        #expect(first.received().end == 0)
        backend.update { $0.isTokenCached = false }
        let second = try Pair(sending: text)
        fastPath.receive(second.server)
        #expect(handedOff.descriptors == [second.server])
        backend.update { state in
            state.isTokenCached = true
            state.identification = .refused(.podGone)
        }
        let third = try Pair(sending: text)
        fastPath.receive(third.server)
        #expect(handedOff.descriptors == [second.server, third.server])
        #expect(observer.record.refusals.isEmpty)
    }

    @Test("a request that comes a moment after its connection is answered as well, whatever else waits")
    func later() async throws {
        let text = get(token, "Connection: close")
        _ = try await learn(text)
        let fastPath = fastPath()
        let pairs = try (0..<3).map { _ in try Pair() }
        for pair in pairs { fastPath.receive(pair.server) }
        #expect(fastPath.waiting.map(\.descriptor) == pairs.map(\.server))
        fastPath.look(at: 1)
        #expect(fastPath.waiting.count == 3)
        try pairs[0].send(text)
        fastPath.look(at: 0)
        #expect(pairs[0].received().end == 0)
        #expect(fastPath.waiting.map(\.descriptor) == [pairs[2].server, pairs[1].server])
        // Not a known request, and no request at all.
        try pairs[1].send("GET")
        fastPath.look(at: 1)
        shutdown(pairs[2].client, CInt(SHUT_WR))
        fastPath.look(at: 0)
        #expect(fastPath.waiting.isEmpty && handedOff.descriptors == [pairs[1].server, pairs[2].server])
    }

    @Test("no connection waits here for long, nor do many at a time")
    func patience() throws {
        let fastPath = fastPath()
        let pairs = try (0...FastPath.waitingLimit).map { _ in try Pair() }
        for pair in pairs { fastPath.receive(pair.server) }
        #expect(fastPath.waiting.count == FastPath.waitingLimit)
        #expect(handedOff.descriptors == [pairs[FastPath.waitingLimit].server])
        let end = try #require(fastPath.nextTime)
        fastPath.tidyUp(at: end - .milliseconds(1))
        #expect(fastPath.waiting.count == FastPath.waitingLimit)
        fastPath.tidyUp(at: end)
        #expect(handedOff.descriptors.count == 2)
        fastPath.handOffWaiting()
        #expect(fastPath.waiting.isEmpty && fastPath.nextTime == nil)
        #expect(Set(handedOff.descriptors) == Set(pairs.map(\.server)))
    }

    @Test("no connection is forgotten because a time was over before it was waited for")
    func timeouts() {
        let now = NIODeadline.now()
        #expect(Acceptor.timeout(until: nil, isFailing: false, now: now) == -1)
        #expect(Acceptor.timeout(until: now + .milliseconds(5), isFailing: false, now: now) == 6)
        for late in [0, 1, 5, 5_000] {
            #expect(Acceptor.timeout(until: now - .milliseconds(Int64(late)), isFailing: false, now: now) == 1)
        }
        #expect(Acceptor.timeout(until: now + .hours(10_000), isFailing: false, now: now) > 1 << 30)
        #expect(Acceptor.timeout(until: nil, isFailing: true, now: now) == 1_000)
        #expect(Acceptor.timeout(until: now + .milliseconds(5), isFailing: true, now: now) == 6)
    }

    @Test("a connection without a tag is reset, whatever it asks")
    func untagged() async throws {
        let text = get(token, "Connection: close")
        _ = try await learn(text)
        let pair = try Pair(sending: text)
        fastPath(tag: nil).receive(pair.server)
        #expect(pair.received() == ("", ECONNRESET))
        #expect(observer.record.resets == [.untagged] && handedOff.descriptors == [])
    }

    @Test("a client that has gone costs nothing, and one that has no room is handed off")
    func noTaker() async throws {
        let text = get(token, "Connection: close")
        _ = try await learn(text)
        let fastPath = fastPath()
        do {
            let gone = try Pair(sending: text)
            shutdown(gone.client, CInt(SHUT_RDWR))
            fastPath.receive(gone.server)
        }
        #expect(handedOff.descriptors == [])
        let full = try Pair(sending: text)
        let bytes = [UInt8](repeating: 0, count: 4_096)
        while unsafe Glibc.send(full.server, bytes, bytes.count, CInt(MSG_NOSIGNAL)) > 0 {}
        fastPath.receive(full.server)
        #expect(handedOff.descriptors == [full.server])
    }

    @Test("a second after an answer nothing of it is kept, and there is nothing more to do")
    func tidyUp() async throws {
        backend.update { state in
            state.lease = TokenLease(end: .now)
            state.leaseHolds = true
        }
        let text = get(token, "Connection: close")
        _ = try await learn(text)
        let fastPath = fastPath()
        #expect(fastPath.tidyUpTime == nil)
        fastPath.receive(try Pair(sending: text).server)
        let time = try #require(fastPath.tidyUpTime)
        fastPath.tidyUp(at: time - .milliseconds(1))
        #expect(fastPath.tidyUpTime == time)
        fastPath.tidyUp(at: time)
        #expect(fastPath.tidyUpTime == nil && fastPath.keepsNothing)
    }
}
