import Glibc

/// Sending and receiving on a netlink socket.
enum NetlinkExchange {
    /// Sends a whole request.
    static func send(_ bytes: [UInt8], over descriptor: CInt, _ operation: String) throws(NetlinkError) {
        guard unsafe Glibc.send(descriptor, bytes, bytes.count, 0) == bytes.count else {
            throw NetlinkError(operation, errorNumber: errno)
        }
    }

    /// The number by which the kernel knows the socket: it gives one with the first message that is sent.
    static func port(of descriptor: CInt, _ operation: String) throws(NetlinkError) -> UInt32 {
        var name = socketName
        var length = socklen_t(name.count * MemoryLayout<UInt32>.size)
        let result = unsafe name.withUnsafeMutableBytes { buffer in
            unsafe getsockname(
                descriptor, buffer.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard result == 0 else { throw NetlinkError(operation, errorNumber: errno) }
        return name[1]
    }

    /// Waits for the next part of the kernel's answer, of at most `limit` bytes. What other processes send is left out: those with
    /// CAP_NET_ADMIN in this network namespace may.
    static func receive(
        atMost limit: Int, from descriptor: CInt, _ operation: String
    ) throws(NetlinkError) -> ArraySlice<UInt8> {
        var buffer = [UInt8](repeating: 0, count: limit)
        var sender = socketName
        while true {
            var senderLength = socklen_t(sender.count * MemoryLayout<UInt32>.size)
            let length = unsafe sender.withUnsafeMutableBytes { sender in
                unsafe recvfrom(
                    descriptor, &buffer, limit, 0, sender.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                    &senderLength)
            }
            if length < 0, errno == EINTR { continue }
            guard length > 0 else { throw NetlinkError(operation, errorNumber: length < 0 ? errno : EPIPE) }
            // The kernel's own port is 0.
            if sender[1] == 0 { return buffer[..<length] }
        }
    }

    /// Room for a `struct sockaddr_nl`: family and padding, the port, the groups.
    private static var socketName: [UInt32] { [0, 0, 0] }
}
