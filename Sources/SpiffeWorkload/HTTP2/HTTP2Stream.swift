import NIOCore

/// Serves one stream: gets the body of a request, and writes the answer.
protocol HTTP2StreamHandler: AnyObject {
    /// Whether more of the body is of use. Where it is not, the client's window stays as it is.
    var wantsBytes: Bool { get }
    func received(_ bytes: ByteBuffer, isLast: Bool)
    /// Called once, at the end of the read that began the stream.
    func readEnded()
    /// Called if the stream ends by anything but the handler's own end of it.
    func closed()
}

/// One stream of a connection: the server's half of it, as a handler sees it.
final class HTTP2Stream {
    /// More bytes that wait for the client's window are a client that does not read.
    private static let pendingLimit = 65_536

    let id: Int
    let connection: HTTP2Connection
    var handler: (any HTTP2StreamHandler)?
    var sendWindow: Int
    var receiveWindow = ReceiveWindow()
    /// The bytes of the body that the client has still to send, where it has said their number.
    var bodyLeft: Int?
    var isRemoteClosed = false
    private(set) var hasSentHead = false
    /// Whether the handler has ended the answer.
    private(set) var isEnded = false
    /// Whether the answer has been written to its end.
    private(set) var isAnswered = false
    /// The parts of the answer that wait for the client's window, and the trailers after them.
    private var pending: [HTTP2Data] = []
    private var trailers: FieldBlock?

    init(_ id: Int, of connection: HTTP2Connection, sendWindow: Int, bodyLength: Int?, isRemoteClosed: Bool) {
        self.id = id
        self.connection = connection
        self.sendWindow = sendWindow
        bodyLeft = bodyLength
        self.isRemoteClosed = isRemoteClosed
    }

    var eventLoop: any EventLoop { connection.eventLoop }
    var hasPending: Bool { !pending.isEmpty }

    /// Whether the client reads what it has got.
    var isWritable: Bool {
        connection.isWritable && pending.reduce(0) { $0 + $1.bytes.readableBytes } < Self.pendingLimit
    }

    // MARK: Writing

    func write(head: FieldBlock) {
        guard !isEnded, !hasSentHead else { return }
        hasSentHead = true
        connection.write(head, of: id, isLast: false)
    }

    func write(_ data: HTTP2Data) {
        guard !isEnded else { return }
        if hasPending { return pending.append(data) }
        var rest = data
        connection.write(&rest, of: self)
        guard rest.bytes.readableBytes > 0 else { return }
        pending.append(rest)
        connection.waiting += 1
    }

    /// Ends the stream with a header block, once all before it is sent. A failure does not wait: what is before it is dropped.
    func end(_ block: FieldBlock, isFailure: Bool = false) {
        guard !isEnded else { return }
        isEnded = true
        hasSentHead = true
        // The handler gets nothing any more, and must not live for as long as the client does not read.
        handler = nil
        if isFailure, hasPending { return connection.dropAnswer(of: self) }
        trailers = block
        finish()
    }

    func flush() { connection.flush() }

    /// Writes what waits, as far as the windows let it.
    func writePending() {
        while var data = pending.first {
            connection.write(&data, of: self)
            guard data.bytes.readableBytes == 0 else {
                pending[0] = data
                return
            }
            pending.removeFirst()
            if pending.isEmpty { connection.waiting -= 1 }
        }
        finish()
    }

    private func finish() {
        guard isEnded, pending.isEmpty, let trailers else { return }
        self.trailers = nil
        isAnswered = true
        connection.write(trailers, of: id, isLast: true)
        connection.answered(self)
    }

    /// Forgets the answer and the handler, which otherwise would hold each other.
    func release() {
        isEnded = true
        if hasPending { connection.waiting -= 1 }
        pending = []
        trailers = nil
        handler = nil
    }
}

@available(*, unavailable)
extension HTTP2Stream: Sendable {}

/// Bytes of an answer.
struct HTTP2Data {
    var bytes: ByteBuffer
    /// Whether they hold a private key: they are then sent from where they are, and no buffer gets a copy.
    let isSecret: Bool
}
