import Attribution
import MetadataProtocol
import NIOCore
import Tokens

/// One answer of a ``ResponseCache``, with the bytes that were last sent of it.
///
/// A credential is asked for in one form again and again. Its answer is written once; after that only the date changes, so
/// that a long answer costs no more than a short one.
final class CachedResponse {
    let pod: PodRecord
    let lease: TokenLease
    let response: Response
    /// The whole answer in the form of `framing`, with `date` at `dateIndex`.
    private var encoded = ByteBuffer()
    private var framing: Response.Framing?
    private var date = ""
    private var dateIndex = 0

    init(_ response: Response, for pod: PodRecord, _ lease: TokenLease) {
        self.pod = pod
        self.lease = lease
        self.response = response
    }

    /// Returns the answer as `Response.write(to:framing:date:)` writes it.
    func bytes(framing: Response.Framing, date: String) -> ByteBuffer {
        if framing != self.framing || date.utf8.count != self.date.utf8.count {
            self.framing = framing
            encoded = ByteBufferAllocator().buffer(capacity: response.capacity(framing: framing))
            dateIndex = response.write(to: &encoded, framing: framing, date: date)
            self.date = date
        } else if date != self.date {
            // Answers of the second before that are still being sent keep their bytes.
            encoded.setString(date, at: dateIndex)
            self.date = date
        }
        return encoded
    }
}

@available(*, unavailable)
extension CachedResponse: Sendable {}
