import Glibc

/// Unix sockets beyond bytes: passing descriptors, and the peer's credentials.
package enum SocketControl {
    /// More listening sockets than an agent has.
    static let descriptorsMax = 8

    /// Sends `bytes` and copies of the descriptors, in one message.
    ///
    /// - Parameters:
    ///   - bytes: The message.
    ///   - descriptors: Of which the receiver gets copies.
    ///   - socket: Where to.
    ///   - waits: Whether to wait while the receiver has read too little.
    /// - Returns: Whether all bytes were taken.
    package static func send(_ bytes: [UInt8], descriptors: [CInt], over socket: CInt, waits: Bool = true) -> Bool {
        attempt(bytes, descriptors: descriptors, over: socket, waits: waits) == .sent
    }

    /// The outcome of one message.
    enum Sending: Sendable, Equatable {
        case sent
        /// The receiver has read too little, or the kernel lacks memory: it may be sent later.
        case full
        /// The receiver is gone.
        case gone
        /// This message cannot be sent, or was cut: `errno`.
        case failed(CInt)
    }

    /// The same, with the reason why the bytes were not taken.
    static func attempt(_ bytes: [UInt8], descriptors: [CInt], over socket: CInt, waits: Bool) -> Sending {
        let flags = CInt(MSG_NOSIGNAL) | (waits ? 0 : CInt(MSG_DONTWAIT))
        var bytes = bytes
        var control = ControlBuffer(descriptors)
        let sent = unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe control.storage.withUnsafeMutableBytes { control in
                var part = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return unsafe withUnsafeMutablePointer(to: &part) { part in
                    var message = unsafe msghdr(
                        msg_name: nil, msg_namelen: 0, msg_iov: part, msg_iovlen: 1,
                        msg_control: descriptors.isEmpty ? nil : control.baseAddress,
                        msg_controllen: descriptors.isEmpty ? 0 : control.count, msg_flags: 0)
                    return unsafe sendmsg(socket, &message, flags)
                }
            }
        }
        if sent == bytes.count { return .sent }
        let number = sent < 0 ? errno : 0
        return switch number {
        case EAGAIN, EINTR, ENOBUFS, ENOMEM, ETOOMANYREFS: .full
        case EPIPE, ECONNRESET, ECONNREFUSED, ENOTCONN: .gone
        default: .failed(number)
        }
    }

    /// The same, when something arrives within a time. Blocks the calling thread until then.
    static func receive(
        _ count: Int, from socket: CInt, withinMilliseconds limit: CInt
    ) -> (bytes: [UInt8], descriptors: [CInt])? {
        var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&polled, 1, limit) == 1 else { return nil }
        return receive(count, from: socket)
    }

    /// Receives at most `count` bytes, and the descriptors that came with them, which are the caller's from here on.
    ///
    /// - Returns: `nil` on an error, at the end of the stream, and when more came than fits.
    package static func receive(_ count: Int, from socket: CInt) -> (bytes: [UInt8], descriptors: [CInt])? {
        var bytes = [UInt8](repeating: 0, count: count)
        var control = ControlBuffer([CInt](repeating: -1, count: descriptorsMax))
        var length = 0
        var isTruncated = false
        let received = unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe control.storage.withUnsafeMutableBytes { control in
                var part = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return unsafe withUnsafeMutablePointer(to: &part) { part in
                    var message = unsafe msghdr(
                        msg_name: nil, msg_namelen: 0, msg_iov: part, msg_iovlen: 1,
                        msg_control: control.baseAddress, msg_controllen: control.count, msg_flags: 0)
                    let received = unsafe recvmsg(socket, &message, CInt(MSG_CMSG_CLOEXEC))
                    unsafe length = message.msg_controllen
                    unsafe isTruncated = message.msg_flags & CInt(MSG_CTRUNC) != 0
                    return received
                }
            }
        }
        let descriptors = received >= 0 ? control.descriptors(length: length) : []
        guard received > 0, !isTruncated else {
            for descriptor in descriptors { close(descriptor) }
            return nil
        }
        return ([UInt8](bytes.prefix(received)), descriptors)
    }
}

/// One `struct cmsghdr` of type SCM_RIGHTS: its length (8 bytes), level and type (4 each), then the descriptors.
private struct ControlBuffer {
    private static let headerLength = 16
    var storage: [UInt8]

    init(_ descriptors: [CInt]) {
        let length = Self.headerLength + descriptors.count * MemoryLayout<CInt>.size
        storage = []
        unsafe withUnsafeBytes(of: length) { unsafe storage.append(contentsOf: $0) }
        for word in [SOL_SOCKET, CInt(SCM_RIGHTS)] + descriptors {
            unsafe withUnsafeBytes(of: word) { unsafe storage.append(contentsOf: $0) }
        }
        // The kernel counts in words of 8 bytes.
        while storage.count % 8 != 0 { storage.append(0) }
    }

    func descriptors(length: Int) -> [CInt] {
        guard length >= Self.headerLength, length <= storage.count else { return [] }
        return unsafe storage.withUnsafeBytes { buffer in
            let messageLength = unsafe buffer.load(as: Int.self)
            guard unsafe buffer.load(fromByteOffset: 8, as: CInt.self) == SOL_SOCKET,
                unsafe buffer.load(fromByteOffset: 12, as: CInt.self) == CInt(SCM_RIGHTS),
                messageLength <= buffer.count
            else { return [] }
            return stride(from: Self.headerLength, to: messageLength, by: MemoryLayout<CInt>.size).map {
                unsafe buffer.load(fromByteOffset: $0, as: CInt.self)
            }
        }
    }
}
