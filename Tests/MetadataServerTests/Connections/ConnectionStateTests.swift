import NIOHTTP1
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct ConnectionStateTests {
    typealias Exchange = ConnectionState.Exchange

    private func head(
        _ uri: String = "/", _ method: HTTPMethod = .GET, _ version: HTTPVersion = .http1_1,
        _ headers: HTTPHeaders = [:]
    ) -> HTTPRequestHead {
        HTTPRequestHead(version: version, method: method, uri: uri, headers: headers)
    }

    private func state(pipelined: Int = 64) -> ConnectionState {
        var limits = MetadataServerLimits()
        limits.pipelinedRequests = pipelined
        limits.body = 10
        return ConnectionState(limits: limits)
    }

    @Test func `a request is answered when it is complete`() {
        var state = state()
        #expect(state.phase == .request(0))
        state.receivedBytes()
        #expect(state.received(head: head()) == .none)
        #expect(state.received(bodyBytes: 10) == .none)
        #expect(state.receivedEnd() == .answer(Exchange(head: head(), closes: false)))
        #expect(state.phase == .answer(0) && !state.wantsInput)
        #expect(state.answered() == .none)
        #expect(state.phase == .idle(1) && state.wantsInput)
    }

    @Test func `pipelined requests wait for their turn`() {
        var state = state()
        _ = state.received(head: head("/1"))
        #expect(state.receivedEnd() == .answer(Exchange(head: head("/1"), closes: false)))
        _ = state.received(head: head("/2"))
        #expect(state.receivedEnd() == .none)
        _ = state.received(head: head("/3", .GET, .http1_1, ["Connection": "close"]))
        #expect(state.receivedEnd() == .none)
        #expect(state.answered() == .answer(Exchange(head: head("/2"), closes: false)))
        #expect(!state.wantsInput)
        guard case .answer(let last) = state.answered() else { return #expect(Bool(false), "no answer") }
        #expect(last.closes)
        #expect(state.answered() == .close)
    }

    @Test func `after some answers the other connections have their turn, and nothing is read meanwhile`() {
        var limits = MetadataServerLimits()
        limits.answersPerTurn = 2
        var state = ConnectionState(limits: limits)
        state.receivedBytes()
        #expect(state.received(whole: Exchange(head: head("/1"), closes: false)) != .none)
        for number in 2...5 { _ = state.received(whole: Exchange(head: head("/\(number)"), closes: false)) }
        #expect(state.answered() == .answer(Exchange(head: head("/2"), closes: false)))
        #expect(state.answered() == .yield)
        #expect(state.writabilityChanged(true) == .none && !state.wantsInput && state.phase == .answer(2))
        #expect(state.turnBegan() == .answer(Exchange(head: head("/3"), closes: false)))
        #expect(state.answered() == .answer(Exchange(head: head("/4"), closes: false)))
        #expect(state.answered() == .yield)
        #expect(state.inputClosed() == .none, "the last one is still owed")
        #expect(state.turnBegan() == .answer(Exchange(head: head("/5"), closes: true)))
        #expect(state.answered() == .close)
    }

    @Test func `each read begins a turn`() {
        var limits = MetadataServerLimits()
        limits.answersPerTurn = 1
        var state = ConnectionState(limits: limits)
        for number in 0..<3 {
            state.receivedBytes()
            let exchange = Exchange(head: head("/\(number)"), closes: false)
            #expect(state.received(whole: exchange) == .answer(exchange))
            #expect(state.answered() == .none)
        }
    }

    @Test func `a request is whole when nothing is before it and it has no body`() {
        var state = state()
        #expect(state.onlyExchangeWithoutBody == nil)
        _ = state.received(head: head())
        #expect(state.onlyExchangeWithoutBody == Exchange(head: head(), closes: false))
        _ = state.received(bodyBytes: 1)
        #expect(state.onlyExchangeWithoutBody == nil)
        _ = state.receivedEnd()
        _ = state.received(head: head("/2"))
        #expect(state.onlyExchangeWithoutBody == nil, "the first is not answered")
        _ = state.receivedEnd()
        _ = state.answered()
        _ = state.answered()
        _ = state.received(head: head("/3", .GET, .http1_1, ["Expect": "100-continue"]))
        #expect(state.onlyExchangeWithoutBody == nil)
    }

    @Test func `a request received whole takes its turn like any other`() {
        var state = state()
        let last = Exchange(head: head("/2"), closes: true)
        #expect(
            state.received(whole: Exchange(head: head(), closes: false)) == .answer(.init(head: head(), closes: false)))
        #expect(state.received(whole: last) == .none)
        #expect(state.received(whole: Exchange(head: head("/3"), closes: false)) == .none, "nothing follows the last")
        #expect(state.answered() == .answer(last))
        #expect(state.answered() == .close)
    }

    @Test func `an error waits behind the requests before it`() {
        var state = state()
        _ = state.received(head: head())
        _ = state.receivedEnd()
        #expect(state.received(.malformed("")) == .none)
        #expect(state.received(head: head()) == .none)
        #expect(state.answered() == .refuse(.malformed("")))
        #expect(state.answered() == .close)
    }

    @Test func `too many pipelined requests end the connection after those that fit`() {
        var state = state(pipelined: 1)
        for _ in 0..<2 {
            _ = state.received(head: head())
            _ = state.receivedEnd()
        }
        _ = state.received(head: head())
        #expect(state.receivedEnd() == .drop)
        #expect(state.received(head: head()) == .none && !state.wantsInput, "nothing after it is read")
        #expect(state.answered() == .answer(Exchange(head: head(), closes: true)))
        #expect(state.answered() == .close)
    }

    @Test func `no answer starts while the client does not read`() {
        var state = state()
        #expect(state.writabilityChanged(false) == .none)
        _ = state.received(head: head())
        #expect(state.receivedEnd() == .none)
        #expect(!state.wantsInput)
        #expect(state.writabilityChanged(true) == .answer(Exchange(head: head(), closes: false)))
    }

    @Test func `a body over the limit is refused as soon as it is known`() {
        var declared = state()
        #expect(
            declared.received(head: head("/", .GET, .http1_1, ["Content-Length": "11"]))
                == .refuse(.bodyTooLarge(limit: 10)))
        var streamed = state()
        _ = streamed.received(head: head("/", .POST, .http1_1, ["Transfer-Encoding": "chunked"]))
        #expect(streamed.received(bodyBytes: 10) == .none)
        #expect(streamed.received(bodyBytes: 1) == .refuse(.bodyTooLarge(limit: 10)))
        #expect(streamed.receivedEnd() == .none)
    }

    @Test(
        arguments: [
            ["Transfer-Encoding": "chunked", "Content-Length": "3"], ["Transfer-Encoding": "gzip, chunked"],
            ["Transfer-Encoding": "identity"], ["Content-Length": "3", "content-length": "3"],
        ] as [HTTPHeaders])
    func `ambiguous framing is refused`(_ headers: HTTPHeaders) {
        var state = state()
        guard case .refuse(.malformed) = state.received(head: head("/", .POST, .http1_1, headers)) else {
            return #expect(Bool(false), "not refused")
        }
    }

    @Test(arguments: [["Upgrade": "h2c", "Connection": "Upgrade"], ["Connection": "close"]] as [HTTPHeaders])
    func `nothing follows a request that ends or leaves HTTP`(_ headers: HTTPHeaders) {
        var state = state()
        let head = head("/", .GET, .http1_1, headers)
        _ = state.received(head: head)
        #expect(state.receivedEnd() == .answer(Exchange(head: head, closes: true)))
        #expect(state.answered() == .close)
    }

    @Test func `a client that expects 100 gets its final answer at once`() {
        var state = state()
        let head = head("/", .POST, .http1_1, ["Expect": "100-continue", "Content-Length": "9"])
        #expect(state.received(head: head) == .answer(Exchange(head: head, closes: true)))
    }

    @Test func `half-close lets the answer in flight out`() {
        var state = state()
        _ = state.received(head: head())
        _ = state.receivedEnd()
        #expect(state.inputClosed() == .none)
        #expect(!state.allowsWatch)
        #expect(state.answered() == .close)
    }

    @Test func `a client that has closed its side is remembered until its last request is answered`() {
        var state = state()
        for _ in 0..<2 {
            _ = state.received(head: head())
            _ = state.receivedEnd()
        }
        _ = state.inputClosed()
        #expect(state.answered() == .answer(Exchange(head: head(), closes: true)))
        #expect(!state.allowsWatch, "whether it listens is not known")
        var other = self.state()
        _ = other.received(head: head("/", .GET, .http1_1, ["Connection": "close"]))
        _ = other.receivedEnd()
        #expect(other.allowsWatch, "nothing follows, and the client listens")
    }

    @Test func `draining ends what is idle, and what is not after its answer`() {
        var idle = state()
        _ = idle.received(head: head())
        _ = idle.receivedEnd()
        _ = idle.answered()
        #expect(idle.drain() == .close)

        var fresh = state()
        #expect(fresh.drain() == .none)
        _ = fresh.received(head: head())
        #expect(fresh.receivedEnd() == .answer(Exchange(head: head(), closes: true)))

        var busy = state()
        _ = busy.received(head: head())
        _ = busy.receivedEnd()
        #expect(busy.drain() == .none)
        #expect(busy.isLastAnswer)
    }

    @Test func `a drain that keeps idle connections ends them after their next answer`() {
        var idle = state()
        _ = idle.received(head: head())
        _ = idle.receivedEnd()
        _ = idle.answered()
        #expect(idle.drain(keepsIdle: true) == .none)
        #expect(idle.wantsInput)
        _ = idle.received(head: head())
        #expect(idle.receivedEnd() == .answer(Exchange(head: head(), closes: true)))
        #expect(idle.answered() == .close)

        var silent = state()
        _ = silent.received(head: head())
        _ = silent.receivedEnd()
        _ = silent.answered()
        _ = silent.drain(keepsIdle: true)
        #expect(silent.drain() == .close)
    }

    @Test func `time is over differently for silence and for half a request`() {
        var silent = state()
        #expect(silent.inputTimedOut() == .close)
        var slow = state()
        slow.receivedBytes()
        #expect(slow.inputTimedOut() == .refuse(.requestTimedOut))
        var second = state()
        second.receivedBytes()
        _ = second.received(head: head())
        _ = second.receivedEnd()
        _ = second.answered()
        second.receivedBytes()
        #expect(second.phase == .request(1))
        #expect(second.inputTimedOut() == .refuse(.requestTimedOut))
    }
}
