package import Attribution
import MetadataProtocol
package import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A service at another port of the metadata addresses: its connections arrive at the same sockets.
package struct OtherService: Sendable {
    /// The port that the caller asked for.
    package var port: UInt16
    /// Owns the accepted socket, which does not block, from then on. Must not block.
    package var serve: @Sendable (CInt, CallerTag) -> Void

    package init(port: UInt16, serve: @escaping @Sendable (CInt, CallerTag) -> Void) {
        self.port = port
        self.serve = serve
    }
}

/// A port of the metadata addresses on which the same requests come through something else, such as TLS.
package struct SecuredPort: Sendable {
    /// The port that the caller asked for.
    package var port: UInt16
    /// Makes what stands before the protocol's own handlers of one connection, the socket's side first. Throws to close it.
    package var handlers: @Sendable (CallerTag) throws -> [any ChannelHandler]

    package init(port: UInt16, handlers: @escaping @Sendable (CallerTag) throws -> [any ChannelHandler]) {
        self.port = port
        self.handlers = handlers
    }
}

/// The fast path of connections that were just accepted: one without a tag is reset unread; one whose only request has
/// its answer in a cache is answered and closed; any other is handed off.
///
/// Most requests arrive within microseconds of their connection, but after it. For that long connections wait here.
///
/// A request has two ways to its answer, this and the handlers of SwiftNIO, and they must not differ in any answer. The
/// second way alone would be simpler: this one is here because a cached answer costs a fraction of the instructions, as
/// `make cost` counts.
///
/// Belongs to one of the threads that accept.
final class FastPath {
    /// More is handed off at once: connections that wait are looked at again with each that is accepted.
    static let waitingLimit = 64
    private static let patience = TimeAmount.milliseconds(20)

    struct Waiting {
        let descriptor: CInt
        let tag: CallerTag
        let end: NIODeadline
    }

    private let responder: MetadataResponder
    private let known: RequestCache
    private let observer: any MetadataServerObserver
    private let readTag: @Sendable (CInt) -> CallerTag?
    private let handOff: @Sendable (CInt, CallerTag) -> Void
    private let elsewhere: OtherService?
    /// Connections to it bring nothing that could be answered here.
    private let securedPort: UInt16?
    private let date = DateHeader()
    private let leased = ResponseCache()
    private var request = ByteBufferAllocator().buffer(capacity: RequestCache.longest + 1)
    private var output = ByteBufferAllocator().buffer(capacity: 4096)
    /// Connections of which nothing has arrived yet, in no order.
    private(set) var waiting: [Waiting] = []
    /// The time to drop what is out of date, if there is anything.
    private(set) var tidyUpTime: NIODeadline?

    /// `readTag`, `elsewhere` and `securedPort` are the ``MetadataServer``'s. `handOff` owns the descriptor that it is
    /// given from then on.
    init(
        responder: MetadataResponder, known: RequestCache, observer: any MetadataServerObserver,
        readTag: @escaping @Sendable (CInt) -> CallerTag?, elsewhere: OtherService? = nil, securedPort: UInt16? = nil,
        handOff: @escaping @Sendable (CInt, CallerTag) -> Void
    ) {
        self.responder = responder
        self.known = known
        self.observer = observer
        self.readTag = readTag
        self.handOff = handOff
        self.elsewhere = elsewhere
        self.securedPort = securedPort
    }

    /// Takes over an accepted socket that does not block. `namespace` is the listening socket's network namespace, by
    /// its cookie: the caller's must be the same.
    func receive(_ descriptor: CInt, namespace: UInt64? = nil) {
        guard let tag = readTag(descriptor) else {
            observer.connectionReset(.untagged)
            Self.reset(descriptor)
            return
        }
        guard namespace == nil || namespace == tag.networkNamespaceCookie else {
            observer.connectionReset(.foreignNamespace)
            Self.reset(descriptor)
            return
        }
        if let elsewhere, tag.originalDestination.port == elsewhere.port {
            elsewhere.serve(descriptor, tag)
            return
        }
        if tag.originalDestination.port == securedPort {
            handOff(descriptor, tag)
            return
        }
        switch answer(descriptor, tag) {
        case .done: break
        case .nothingArrived where waiting.count < Self.waitingLimit:
            waiting.append(Waiting(descriptor: descriptor, tag: tag, end: .now() + Self.patience))
        case .nothingArrived, .notHere: handOff(descriptor, tag)
        }
    }

    /// Something of `waiting[index]` has arrived. Moves another to its place.
    func look(at index: Int) {
        let connection = waiting[index]
        switch answer(connection.descriptor, connection.tag) {
        case .nothingArrived: return
        case .done: break
        case .notHere: handOff(connection.descriptor, connection.tag)
        }
        waiting.swapAt(index, waiting.count - 1)
        waiting.removeLast()
    }

    /// Hands off those that have waited long enough.
    func handOffWaiting(at now: NIODeadline = .distantFuture) {
        waiting.removeAll { connection in
            guard connection.end <= now else { return false }
            handOff(connection.descriptor, connection.tag)
            return true
        }
    }

    /// The time to call ``tidyUp(at:)``, if there is anything to do.
    var nextTime: NIODeadline? {
        // All connections wait for the same time, so the first to come is the first to end.
        if let first = waiting.first { return min(first.end, tidyUpTime ?? first.end) }
        return tidyUpTime
    }

    /// Hands off those that have waited long enough, and drops what is out of date.
    func tidyUp(at now: NIODeadline) {
        if !waiting.isEmpty { handOffWaiting(at: now) }
        guard let time = tidyUpTime, now >= time else { return }
        leased.dropEnded()
        tidyUpTime = leased.count > 0 ? now + .seconds(1) : nil
        // The buffer held a token.
        output.clear()
        output.writeRepeatingByte(0, count: output.capacity)
    }

    /// Whether no answer that was given is still here.
    var keepsNothing: Bool {
        leased.count == 0 && output.readableBytesView.allSatisfy { $0 == 0 }
    }

    private enum Outcome {
        /// Answered, and closed.
        case done
        case nothingArrived
        /// The answer is not found here.
        case notHere
    }

    /// Answers and closes, if the request is here, is a known one, ends its connection and has its answer in a cache.
    /// Leaves everything as it was otherwise.
    private func answer(_ descriptor: CInt, _ tag: CallerTag) -> Outcome {
        guard read(descriptor, MSG_PEEK) else { return .nothingArrived }
        guard let exchange = known[request], exchange.closes, let asked = exchange.request else { return .notHere }
        let start = NIODeadline.now()
        // A refusal is handed off with its request: the code that refuses also reports it.
        let caller = responder.identify(tag)
        let framing = Response.Framing(exchange.head, keepsAlive: false)
        let status: Response.Status
        let bytes: ByteBuffer
        if let cached = responder.cachedAnswer(to: asked, as: caller, in: leased) {
            guard cached.response.cause == nil else { return .notHere }
            status = cached.response.status
            bytes = cached.bytes(framing: framing, date: date.value(at: start))
        } else {
            guard case .answer(let response) = responder.decide(asked, as: caller, leased: leased),
                response.cause == nil
            else { return .notHere }
            output.clear()
            response.write(to: &output, framing: framing, date: date.value(at: start))
            status = response.status
            bytes = output
        }
        if tidyUpTime == nil { tidyUpTime = start + .seconds(1) }
        // The end travels with the answer: one packet.
        let length = bytes.readableBytes
        let sent = unsafe bytes.withUnsafeReadableBytes { bytes in
            unsafe send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE))
        }
        // No room for it: the event loop, which can wait for some, takes over. Any other error is the end of the
        // connection.
        if sent < 0, errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM { return .notHere }
        observer.connectionOpened()
        observer.requestAnswered(
            AnsweredRequest(
                route: asked.routeClass, status: status, source: .cached, pod: caller.pod,
                nanoseconds: (NIODeadline.now() - start).nanoseconds))
        observer.connectionClosed()
        if sent >= 0, sent < length {
            // A part of an answer: the peer must not take it for the whole.
            Self.reset(descriptor)
            return .done
        }
        // To close with unread bytes resets the connection.
        read(descriptor)
        close(descriptor)
        return .done
    }

    /// Reads what has arrived, as far as it may be a known request.
    ///
    /// - Returns: Whether anything has: bytes, their end or an error.
    @discardableResult
    private func read(_ descriptor: CInt, _ flags: Int = 0) -> Bool {
        request.clear()
        var hasArrived = true
        unsafe request.writeWithUnsafeMutableBytes(minimumWritableBytes: RequestCache.longest + 1) { bytes in
            let count = unsafe recv(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_DONTWAIT | flags))
            hasArrived = count >= 0 || errno != EAGAIN
            return max(count, 0)
        }
        return hasArrived
    }

    /// Closes without a word: the peer sees a reset.
    static func reset(_ descriptor: CInt) {
        var option = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }
}

@available(*, unavailable)
extension FastPath: Sendable {}
