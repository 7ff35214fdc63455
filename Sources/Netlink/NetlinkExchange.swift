import Glibc

/// Sending and receiving on a netlink socket.
enum NetlinkExchange {
    /// Sends a whole request.
    static func send(_ bytes: [UInt8], over descriptor: CInt, _ operation: String) throws(NetlinkError) {
        guard unsafe Glibc.send(descriptor, bytes, bytes.count, 0) == bytes.count else {
            throw NetlinkError(operation, errorNumber: errno)
        }
    }

    /// Waits for the next part of an answer, of at most `limit` bytes.
    static func receive(
        atMost limit: Int, from descriptor: CInt, _ operation: String
    ) throws(NetlinkError) -> ArraySlice<UInt8> {
        var buffer = [UInt8](repeating: 0, count: limit)
        while true {
            let length = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if length < 0, errno == EINTR { continue }
            guard length > 0 else { throw NetlinkError(operation, errorNumber: length < 0 ? errno : EPIPE) }
            return buffer[..<length]
        }
    }
}
