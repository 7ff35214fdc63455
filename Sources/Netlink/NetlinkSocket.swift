import Glibc

/// A netlink socket to netfilter. It speaks to the network namespace that it was made in, in whichever thread it is
/// used.
struct NetlinkSocket: ~Copyable {
    private let descriptor: CInt
    private var sequence: UInt32 = 0

    // linux/netlink.h and linux/netfilter/nfnetlink.h.
    private static let family: CInt = 16
    private static let netfilter: CInt = 12
    private static let errorType: UInt16 = 2
    static let request: UInt16 = 0x1
    static let acknowledge: UInt16 = 0x4
    static let create: UInt16 = 0x400
    static let append: UInt16 = 0x800

    /// `SO_SNDBUFFORCE`, for which netfilter's CAP_NET_ADMIN is enough.
    private static let forcedSendBuffer: CInt = 32
    private static let requestBytesMax: CInt = 4 << 20
    private static let headerBytes = 16
    /// Larger than any answer to what is asked here, which is one object at a time.
    private static let answerBytesMax = 64 * 1024

    init() throws(NetlinkError) {
        descriptor = socket(Self.family, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Self.netfilter)
        guard descriptor >= 0 else { throw NetlinkError("open a netlink socket to netfilter", errorNumber: errno) }
        // The kernel answers before send() returns; the limit is for a kernel that does not.
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        // A table for many endpoints is one message, which the default has no room for.
        var bytes = Self.requestBytesMax
        unsafe setsockopt(
            descriptor, SOL_SOCKET, Self.forcedSendBuffer, &bytes, socklen_t(MemoryLayout<CInt>.size))
    }

    deinit {
        close(descriptor)
    }

    /// One message with a sequence number of its own, appended to `bytes`.
    mutating func write(
        type: UInt16, flags: UInt16, family: UInt8, resource: UInt16 = 0, _ attributes: NetlinkAttributes,
        to bytes: inout [UInt8]
    ) {
        sequence &+= 1
        bytes.append(host: UInt32(Self.headerBytes + 4 + attributes.bytes.count))
        bytes.append(host: type)
        bytes.append(host: Self.request | flags)
        bytes.append(host: sequence)
        bytes.append(host: UInt32(0))
        bytes += [family, 0, UInt8(truncatingIfNeeded: resource >> 8), UInt8(truncatingIfNeeded: resource)]
        bytes += attributes.bytes
    }

    /// Sends what was written, and waits for the answer to its last message, or for the first error.
    ///
    /// - Parameters:
    ///   - bytes: Messages of ``write(type:flags:family:resource:_:to:)``, oldest first.
    ///   - expected: The sequence number of the message that is answered; later ones are not.
    ///   - operation: What is tried, for the error.
    /// - Returns: The answer's payload after the netfilter header; empty for an acknowledgement.
    /// - Throws: What the kernel said about any of the messages.
    func exchange(_ bytes: [UInt8], answerTo expected: UInt32, _ operation: String) throws(NetlinkError) -> [UInt8] {
        try NetlinkExchange.send(bytes, over: descriptor, operation)
        let first = Self.firstSequence(of: bytes)
        while true {
            var rest = try NetlinkExchange.receive(atMost: Self.answerBytesMax, from: descriptor, operation)
            while rest.count >= Self.headerBytes {
                let size = Int(rest.host32(at: 0))
                guard size >= Self.headerBytes + 4, size <= rest.count else { break }
                let (type, answered) = (rest.host16(at: 4), rest.host32(at: 8))
                let body = rest[(rest.startIndex + Self.headerBytes)..<(rest.startIndex + size)]
                rest = rest.dropFirst((size + 3) & ~3)
                // Messages that an earlier, failed exchange left unread.
                guard answered &- first <= expected &- first else { continue }
                guard type == Self.errorType else { return Array(body.dropFirst(4)) }
                let failure = -CInt(bitPattern: body.host32(at: 0))
                guard failure == 0 else { throw NetlinkError(operation, errorNumber: failure) }
                if answered == expected { return [] }
            }
        }
    }

    /// The sequence number of the message written last.
    var latest: UInt32 { sequence }

    private static func firstSequence(of bytes: [UInt8]) -> UInt32 {
        bytes.count >= headerBytes ? bytes[...].host32(at: 8) : 0
    }
}
