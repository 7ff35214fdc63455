package import NIOCore

/// Cuts a stream of chunks into lines ended by LF, and refuses a line that grows beyond its limit.
package struct LineSplitter: Sendable {
    private let limit: Int
    private var pending = ByteBuffer()
    /// Bytes of `pending` that are known to hold no line end, so that a long line is searched once.
    private var searched = 0

    /// Refuses lines longer than `limit`, in bytes without their end.
    package init(limit: Int) {
        self.limit = limit
    }

    /// Whether bytes wait for the end of their line.
    package var isWithinLine: Bool { pending.readableBytes > 0 }

    package mutating func append(_ chunk: ByteBuffer) {
        pending.writeImmutableBuffer(chunk)
    }

    /// The next whole line without its end; `nil` until more bytes arrive. Empty lines are passed over.
    package mutating func next() throws(TransportError) -> [UInt8]? {
        while let end = pending.readableBytesView.dropFirst(searched).firstIndex(of: UInt8(ascii: "\n")) {
            let length = end - pending.readerIndex
            guard length <= limit else { throw TransportError(.tooLarge(limit: limit)) }
            let line = pending.readBytes(length: length)
            pending.moveReaderIndex(forwardBy: 1)
            pending.discardReadBytes()
            searched = 0
            if let line, !line.isEmpty { return line }
        }
        searched = pending.readableBytes
        guard searched <= limit else { throw TransportError(.tooLarge(limit: limit)) }
        return nil
    }
}
