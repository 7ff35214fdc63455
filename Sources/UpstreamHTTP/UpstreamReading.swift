package import NIOCore

/// Reads an answer's body while it arrives.
package protocol UpstreamBodyReader: Sendable {
    /// Takes the next bytes; `false` ends the reading.
    mutating func read(_ chunk: ByteBuffer) -> Bool
}

/// An answer whose body went through a reader.
package struct UpstreamReading<Reader: UpstreamBodyReader>: Sendable {
    /// How far the body was read.
    package enum End: Sendable, Hashable {
        case whole
        /// The reading ended at ``UpstreamCall/bodyLimit``.
        case tooLarge
        /// The reader ended the reading.
        case refused
    }

    /// The answer, without its body if that went through the reader.
    package var answer: UpstreamResponse
    /// `nil`: the answer is no success.
    package var reader: Reader?
    package var end: End

    package init(answer: UpstreamResponse, reader: Reader?, end: End) {
        self.answer = answer
        self.reader = reader
        self.end = end
    }
}

/// How a stream came to its end without an error.
package enum UpstreamStreamEnd: Sendable {
    /// The upstream ended it.
    case ended
    /// The receiver of its chunks ended it.
    case stopped
    /// The upstream made no stream: it gave a complete answer that is not a 200.
    case answered(UpstreamResponse)
}
