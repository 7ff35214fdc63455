import Glibc

/// Long messages: eight bytes of length, big-endian, and as many bytes as they say.
extension SocketControl {
    private static let prefixLength = 8

    /// Sends a frame, waiting for the receiver while there is time.
    ///
    /// - Returns: Whether all of it was taken.
    static func sendFrame(_ bytes: [UInt8], over socket: CInt, withinSeconds seconds: Int) -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        let prefix = (0..<prefixLength).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * (prefixLength - 1 - $0))) }
        return sendAll(prefix, over: socket, until: deadline) && sendAll(bytes, over: socket, until: deadline)
    }

    /// Receives a frame that is no longer than `limit` and complete in time.
    static func receiveFrame(atMost limit: Int, from socket: CInt, withinSeconds seconds: Int) -> [UInt8]? {
        let deadline = ContinuousClock.now + .seconds(seconds)
        guard let prefix = receiveAll(prefixLength, from: socket, until: deadline) else { return nil }
        let length = prefix.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(limit) else { return nil }
        return receiveAll(Int(length), from: socket, until: deadline)
    }

    /// Overwrites what is not to stay in memory, in a way that no compiler leaves out.
    package static func wipe(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            unsafe explicit_bzero(base, buffer.count)
        }
        bytes = []
    }

    /// Returns whether `socket` is ready before the deadline.
    private static func waits(_ socket: CInt, for events: CInt, until deadline: ContinuousClock.Instant) -> Bool {
        let rest = deadline - .now
        guard rest > .zero else { return false }
        var polled = pollfd(fd: socket, events: Int16(events), revents: 0)
        return unsafe poll(&polled, 1, CInt(clamping: Int64(rest / .milliseconds(1)) + 1)) == 1
    }

    private static func sendAll(_ bytes: [UInt8], over socket: CInt, until deadline: ContinuousClock.Instant) -> Bool {
        var offset = 0
        while offset < bytes.count {
            guard waits(socket, for: POLLOUT, until: deadline) else { return false }
            let sent = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    socket, buffer.baseAddress.map { unsafe $0 + offset }, buffer.count - offset,
                    CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
            }
            if sent < 0, errno == EAGAIN || errno == EINTR { continue }
            guard sent > 0 else { return false }
            offset += sent
        }
        return true
    }

    private static func receiveAll(
        _ count: Int, from socket: CInt, until deadline: ContinuousClock.Instant
    ) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var offset = 0
        while offset < count {
            guard waits(socket, for: POLLIN, until: deadline) else {
                wipe(&bytes)
                return nil
            }
            let received = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe Glibc.recv(
                    socket, buffer.baseAddress.map { unsafe $0 + offset }, buffer.count - offset,
                    CInt(MSG_DONTWAIT))
            }
            if received < 0, errno == EAGAIN || errno == EINTR { continue }
            guard received > 0 else {
                wipe(&bytes)
                return nil
            }
            offset += received
        }
        return bytes
    }
}
