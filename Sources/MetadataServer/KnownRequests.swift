import NIOCore
import Synchronization

/// Requests by their exact bytes, as an event loop has decoded and validated them before.
///
/// What a request's bytes mean depends on the bytes and on the configuration, which does not change: an entry is never
/// out of date. Who asks, whether they may, and what the answer is, is decided for each request as for any other.
///
/// Shared by all who read requests.
final class KnownRequests: Sendable {
    /// A node's clients ask for a handful of things in a handful of ways.
    static let limit = 128
    /// In bytes. Requests that are longer come from clients with something of their own to say.
    static let longest = 1024

    private let exchanges = Mutex<[ByteBuffer: ConnectionState.Exchange]>([:])

    var count: Int { exchanges.withLock(\.count) }

    subscript(bytes: ByteBuffer) -> ConnectionState.Exchange? {
        bytes.readableBytes <= Self.longest ? exchanges.withLock { $0[bytes] } : nil
    }

    /// Remembers that `bytes`, which must be acceptable, were decoded and validated to `exchange`.
    ///
    /// When there are too many, all are forgotten: a pod that never asks twice alike can at worst cost the others what
    /// every request would cost without this table.
    func remember(_ bytes: ByteBuffer, as exchange: ConnectionState.Exchange) {
        // A copy: `bytes` may be a part of something larger, which a key would keep.
        let key = ByteBuffer(bytes: bytes.readableBytesView)
        exchanges.withLock { exchanges in
            if exchanges.count >= Self.limit { exchanges.removeAll(keepingCapacity: true) }
            exchanges[key] = exchange
        }
    }

    /// Whether the bytes are of bounded length and end where their first head ends, for every parser there is: each LF
    /// follows a CR, each CR is followed by LF, and only the last line is empty. What follows such bytes on a connection
    /// is the start of a request, if they were one.
    static func accepts(_ bytes: ByteBuffer) -> Bool {
        let view = bytes.readableBytesView
        guard view.count <= longest, view.suffix(4).elementsEqual("\r\n\r\n".utf8) else { return false }
        var previous: UInt8 = 0
        var length = 0
        for byte in view.dropLast(2) {
            if byte == UInt8(ascii: "\n") {
                guard previous == UInt8(ascii: "\r"), length > 1 else { return false }
                length = 0
            } else {
                guard previous != UInt8(ascii: "\r") else { return false }
                length += 1
            }
            previous = byte
        }
        return true
    }
}
