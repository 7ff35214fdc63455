#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The process at the other end of a Unix socket, as the kernel noted it when that process connected or listened
/// (`SO_PEERCRED`, unix(7)).
package struct PeerCredentials: Sendable, Equatable {
    /// 0: the process is in another PID namespace.
    package var processID: Int32
    package var userID: UInt32

    /// `nil`: the descriptor is no connected Unix socket.
    package init?(of socket: CInt) {
        // struct ucred: pid, uid, gid.
        var credentials: [Int32] = [0, 0, 0]
        var length = socklen_t(3 * MemoryLayout<Int32>.size)
        guard unsafe getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else { return nil }
        processID = credentials[0]
        userID = UInt32(bitPattern: credentials[1])
    }
}
