package import MetadataProtocol
import NIOCore
package import NIOHTTP1

/// One HTTP/1 connection as a value: which request is next, whether the connection outlives it, when to stop reading.
///
/// Requests are answered one at a time and in order. While one is being answered the owner does not read; what a read
/// had brought beyond it waits in a bounded queue. A request is answered when it is complete, its body having been
/// dropped.
package struct ConnectionState: Sendable {
    /// A complete request.
    package struct Exchange: Sendable, Equatable {
        package var head: HTTPRequestHead
        /// Whether the connection ends with this answer.
        package var closes: Bool
        /// The validated head, where validation has been done already.
        package var request: MetadataRequest?
    }

    /// The owner's next step. The owner reports the end of `answer` and `refuse` with ``answered()``.
    package enum Action: Sendable, Equatable {
        case none
        case answer(Exchange)
        /// Answer with an error; the connection ends with it.
        case refuse(RequestRefusal)
        /// Count a request that is dropped, because too many wait. Nothing after it is read.
        case drop
        /// Let the event loop serve its other connections, then call ``turnBegan()``.
        case yield
        case close
    }

    /// The event that the connection waits for. The phase changes with every step, so that a change is where a deadline
    /// starts.
    package enum Phase: Sendable, Hashable {
        /// The bytes of request number `n`, of which some may have arrived.
        case request(Int)
        /// Request number `n`, which has not begun.
        case idle(Int)
        /// Our answer to request number `n`.
        case answer(Int)
    }

    /// The state of the client's side.
    private enum Input {
        /// No byte has arrived. A fresh connection has the time of one request to say what it wants.
        case fresh
        case awaitingHead
        case readingHead
        case readingBody(Exchange, count: Int)
        /// Nothing that arrives now is a request.
        case discarding
        /// The client has closed its side.
        case ended
    }

    /// The state of our side.
    private enum Output {
        /// The next request may be answered.
        case free
        /// The owner answers a request.
        case answering
        /// The event loop serves its other connections first.
        case yielding
    }

    private enum Item: Equatable {
        case exchange(Exchange)
        case refusal(RequestRefusal)
    }

    private let limits: MetadataServerLimits
    private var input = Input.fresh
    private var queue = CircularBuffer<Item>(initialCapacity: 0)
    private var output = Output.free
    private var isDraining = false
    private var isWritable = true
    private var answeredRequests = 0
    private var answersInTurn = 0

    package init(limits: MetadataServerLimits) {
        self.limits = limits
    }

    package var phase: Phase {
        if owesAnswer { return .answer(answeredRequests) }
        return isIdle ? .idle(answeredRequests) : .request(answeredRequests)
    }

    /// Whether every request is answered and no byte of the next has been seen.
    package var isBetweenRequests: Bool { !owesAnswer && isIdle }

    /// Complete requests that wait for their turn.
    package var queuedRequests: Int { queue.count }

    /// Whether the client does not read its answers.
    package var isBlocked: Bool { !isWritable }

    /// Whether the owner should read from the connection.
    package var wantsInput: Bool { !owesAnswer && isWritable && !isInputOver }

    /// Whether nothing can follow the answer in progress, even if its request did not ask for that.
    package var isLastAnswer: Bool { isDraining || (isInputOver && queue.isEmpty) }

    /// Whether an answer may wait until its value changes. Not when the server stops, nor when the client sends no
    /// more: whether it still listens is then unknown.
    package var allowsWatch: Bool {
        if case .ended = input { return false }
        return !isDraining
    }

    private var owesAnswer: Bool { output != .free || !queue.isEmpty }

    private var isIdle: Bool {
        if case .awaitingHead = input { return true }
        return false
    }

    private var isInputOver: Bool {
        switch input {
        case .discarding, .ended: true
        case .fresh, .awaitingHead, .readingHead, .readingBody: false
        }
    }

    /// Bytes arrived; the parser has not seen them yet.
    package mutating func receivedBytes() {
        if output != .yielding { answersInTurn = 0 }
        switch input {
        case .fresh, .awaitingHead: input = .readingHead
        case .readingHead, .readingBody, .discarding, .ended: break
        }
    }

    package mutating func received(head: HTTPRequestHead) -> Action {
        guard !isInputOver else { return .none }
        if head.uri.utf8.count > limits.requestTarget {
            return end(with: .requestTargetTooLong(limit: limits.requestTarget))
        }
        if let refusal = Self.ambiguity(in: head) { return end(with: refusal) }
        if let length = head.headers.first(name: "Content-Length").flatMap({ Int($0) }), length > limits.body {
            return end(with: .bodyTooLarge(limit: limits.body))
        }
        // NIO's decoder stops parsing behind a request to upgrade, whatever the answer: nothing may follow it. A client
        // that expects 100 (Continue) gets its final answer instead, so that it need not send the body.
        let ends = head.headers.contains(name: "Upgrade") || head.method == .CONNECT
        let exchange = Exchange(head: head, closes: ends || !head.isKeepAlive)
        if head.headers.contains(name: "Expect") {
            input = .discarding
            return enqueue(.exchange(Exchange(head: head, closes: true)))
        }
        input = .readingBody(exchange, count: 0)
        return .none
    }

    package mutating func received(bodyBytes: Int) -> Action {
        guard case .readingBody(let exchange, let count) = input else { return .none }
        guard count + bodyBytes <= limits.body else { return end(with: .bodyTooLarge(limit: limits.body)) }
        input = .readingBody(exchange, count: count + bodyBytes)
        return .none
    }

    package mutating func receivedEnd() -> Action {
        guard case .readingBody(let exchange, _) = input else { return .none }
        input = exchange.closes ? .discarding : .awaitingHead
        return enqueue(.exchange(exchange))
    }

    /// A request that needs no decoding: one that was ``onlyExchangeWithoutBody`` before.
    package mutating func received(whole exchange: Exchange) -> Action {
        guard !isInputOver else { return .none }
        input = exchange.closes ? .discarding : .awaitingHead
        return enqueue(.exchange(exchange))
    }

    /// The request that is being read, if none is before it and nothing of a body came.
    package var onlyExchangeWithoutBody: Exchange? {
        guard !owesAnswer, case .readingBody(let exchange, 0) = input else { return nil }
        return exchange
    }

    /// The bytes that arrived are no request. Requests before it are answered first.
    package mutating func received(_ refusal: RequestRefusal) -> Action {
        isInputOver ? .none : end(with: refusal)
    }

    /// The client will send no more. What it sent completely is still answered.
    package mutating func inputClosed() -> Action {
        input = .ended
        return next()
    }

    /// The time for the request that is being read, or for the next to begin, is over.
    package mutating func inputTimedOut() -> Action {
        switch input {
        case .readingHead, .readingBody: return end(with: .requestTimedOut)
        case .fresh, .awaitingHead:
            input = .discarding
            return next()
        case .discarding, .ended: return .none
        }
    }

    /// Ends the connection after the request that has begun, because the server is stopping. A connection that has not
    /// asked anything yet may still ask once, since its client has no reason to try again. With `keepsIdle` an idle
    /// connection stays until its next answer tells the client to close: no request meets a closing connection.
    package mutating func drain(keepsIdle: Bool = false) -> Action {
        isDraining = true
        if isIdle, !keepsIdle { input = .discarding }
        return next()
    }

    /// The connection can, or cannot, take another answer.
    package mutating func writabilityChanged(_ isWritable: Bool) -> Action {
        self.isWritable = isWritable
        return isWritable ? next() : .none
    }

    /// The answer that the last action asked for is written.
    package mutating func answered() -> Action {
        output = .free
        answeredRequests += 1
        return next()
    }

    /// The event loop has served its other connections since ``Action/yield``.
    package mutating func turnBegan() -> Action {
        answersInTurn = 0
        output = .free
        return next()
    }

    private mutating func end(with refusal: RequestRefusal) -> Action {
        input = .discarding
        return enqueue(.refusal(refusal))
    }

    private mutating func enqueue(_ item: Item) -> Action {
        if output == .answering || !isWritable, queue.count >= limits.pipelinedRequests {
            input = .discarding
            return .drop
        }
        queue.append(item)
        return next()
    }

    private mutating func next() -> Action {
        guard output == .free, isWritable else { return .none }
        if !queue.isEmpty, answersInTurn >= limits.answersPerTurn {
            output = .yielding
            return .yield
        }
        guard let item = queue.popFirst() else { return isInputOver ? .close : .none }
        output = .answering
        answersInTurn += 1
        switch item {
        case .refusal(let refusal):
            return .refuse(refusal)
        case .exchange(var exchange):
            if isLastAnswer { exchange.closes = true }
            if exchange.closes {
                queue.removeAll()
                // Whether the client has closed its side is not forgotten.
                if !isInputOver { input = .discarding }
            }
            return .answer(exchange)
        }
    }

    /// Framing that two parsers could read in two ways (RFC 9112, section 6.3). NIO's decoder refuses most of it; this
    /// holds whatever the decoder does.
    private static func ambiguity(in head: HTTPRequestHead) -> RequestRefusal? {
        let codings = head.headers["Transfer-Encoding"]
        let lengths = head.headers["Content-Length"]
        if !codings.isEmpty {
            guard lengths.isEmpty, codings.count == 1, codings[0].lowercased() == "chunked", head.version == .http1_1
            else { return .malformed("The length of the request's body is ambiguous.") }
        }
        guard lengths.count <= 1 else { return .malformed("The request has more than one Content-Length header.") }
        return nil
    }
}
