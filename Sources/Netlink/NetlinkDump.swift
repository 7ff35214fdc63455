import Glibc

/// The kernel's answer to one request for all of something, put together from the parts that arrive.
///
/// Messages that answer another request are left out: an answer that was not read to its end leaves some behind.
struct NetlinkDump {
    enum Outcome: Equatable {
        /// The messages without their headers.
        case complete([ArraySlice<UInt8>])
        /// The list changed while the kernel wrote it: entries may be missing.
        case interrupted
        /// The error number that the kernel gave in place of a list.
        case failed(CInt)
    }

    /// How often a list is made that changes each time.
    static let attemptsMax: UInt32 = 5
    /// More interfaces than any node has.
    static let messagesMax = 65536

    // linux/netlink.h.
    static let headerBytes = 16
    private static let error: UInt16 = 2
    private static let done: UInt16 = 3
    /// `NLM_F_DUMP_INTR`.
    private static let changed: UInt16 = 0x10

    private let sequence: UInt32
    private let port: UInt32
    private var messages: [ArraySlice<UInt8>] = []
    private var isInterrupted = false

    /// Begins without a message.
    ///
    /// - Parameters:
    ///   - sequence: The request's number, which the kernel writes into each message of its answer.
    ///   - port: The number of the socket that asked, which the kernel writes there as well.
    init(sequence: UInt32, port: UInt32) {
        self.sequence = sequence
        self.port = port
    }

    /// Takes the next part of the answer. The outcome, once the answer is at its end; `nil`: more follows.
    mutating func take(_ part: ArraySlice<UInt8>) -> Outcome? {
        var rest = part
        while rest.count >= Self.headerBytes {
            let size = Int(rest.host32(at: 0))
            guard size >= Self.headerBytes, size <= rest.count else { break }
            let message = rest.prefix(size)
            rest = rest.dropFirst((size + 3) & ~3)
            guard message.host32(at: 8) == sequence, message.host32(at: 12) == port else { continue }
            if message.host16(at: 6) & Self.changed != 0 { isInterrupted = true }
            let body = message.dropFirst(Self.headerBytes)
            switch message.host16(at: 4) {
            case Self.done:
                // A list that the kernel could not end has the error in its last message.
                if let number = Self.errorNumber(in: body), number > 0 { return .failed(number) }
                return isInterrupted ? .interrupted : .complete(messages)
            case Self.error: return .failed(Self.errorNumber(in: body) ?? EPROTO)
            default: messages.append(body)
            }
            guard messages.count <= Self.messagesMax else { return .failed(E2BIG) }
        }
        return nil
    }

    private static func errorNumber(in body: ArraySlice<UInt8>) -> CInt? {
        body.count >= 4 ? 0 &- CInt(bitPattern: body.host32(at: 0)) : nil
    }

    /// Asks until one answer is a list that did not change meanwhile, and no more often than `attemptsMax`.
    ///
    /// - Parameters:
    ///   - operation: What is tried, for the error.
    ///   - ask: Gets the number of the attempt, from 1, and returns how it ended.
    /// - Returns: The messages of the list.
    /// - Throws: What the kernel said, or that the list changed each time.
    static func whole(
        _ operation: String, _ ask: (UInt32) throws(NetlinkError) -> Outcome
    ) throws(NetlinkError) -> [ArraySlice<UInt8>] {
        for attempt in 1...attemptsMax {
            switch try ask(attempt) {
            case .complete(let messages): return messages
            case .interrupted: continue
            case .failed(let number): throw NetlinkError(operation, errorNumber: number)
            }
        }
        throw NetlinkError("\(operation), which changed during each of \(attemptsMax) attempts", errorNumber: EINTR)
    }
}
