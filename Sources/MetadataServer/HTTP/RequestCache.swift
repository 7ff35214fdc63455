import Attribution
import NIOCore
import Synchronization

/// Requests by their exact bytes, as an event loop has decoded and validated them before.
///
/// The meaning of a request's bytes depends on the bytes and on the configuration, which does not change: an entry is
/// never out of date. Who asks, whether they may, and what the answer is, is decided for each request as for any other.
///
/// Shared by all threads that read requests.
final class RequestCache: Sendable {
    /// A node's clients ask for a handful of things in a handful of ways.
    static let limit = 512
    /// Requests that one pod was the first to send. Beyond that its own are forgotten: a pod that never asks twice alike
    /// takes nothing from the others.
    static let limitPerPod = 16
    /// The longest request, in bytes. Longer requests come from clients with something of their own to say.
    static let longest = 1024

    private struct Storage {
        var exchanges: [ByteBuffer: ConnectionState.Exchange] = [:]
        /// The bytes that each pod was the first to send.
        var contributions: [PodUID?: [ByteBuffer]] = [:]

        mutating func forget(contributedBy pod: PodUID?) {
            for bytes in contributions.removeValue(forKey: pod) ?? [] { exchanges[bytes] = nil }
        }
    }

    private let storage = Mutex(Storage())

    var count: Int { storage.withLock(\.exchanges.count) }

    subscript(bytes: ByteBuffer) -> ConnectionState.Exchange? {
        bytes.readableBytes <= Self.longest ? storage.withLock { $0.exchanges[bytes] } : nil
    }

    /// Remembers that `bytes`, which must be acceptable, were decoded and validated to `exchange`.
    ///
    /// When there are too many, those of the pod with most of them are forgotten.
    func remember(_ bytes: ByteBuffer, as exchange: ConnectionState.Exchange, from pod: PodUID?) {
        // A copy: `bytes` may be a part of something larger, which a key would keep.
        let key = ByteBuffer(bytes: bytes.readableBytesView)
        storage.withLock { storage in
            guard storage.exchanges[key] == nil else { return }
            if storage.contributions[pod, default: []].count >= Self.limitPerPod { storage.forget(contributedBy: pod) }
            if storage.exchanges.count >= Self.limit,
                let greediest = storage.contributions.max(by: { $0.value.count < $1.value.count })?.key
            {
                storage.forget(contributedBy: greediest)
            }
            storage.exchanges[key] = exchange
            storage.contributions[pod, default: []].append(key)
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
