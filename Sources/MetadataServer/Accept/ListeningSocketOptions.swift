#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension MetadataServerLimits {
    /// Sets what accepted sockets inherit: answers leave at once, and the kernel keeps little of what a client sends or does
    /// not read. All that the kernel keeps counts for the agent's memory limit.
    ///
    /// With `waitsForBytes` a thread is woken once for a connection, by its first bytes, and not by the handshake before them
    /// (TCP_DEFER_ACCEPT of tcp(7)). One that stays silent is accepted after the delay.
    func apply(toListeningSocket descriptor: CInt, waitsForBytes: Bool) {
        for (level, option, value) in [
            (CInt(IPPROTO_TCP), TCP_NODELAY, 1), (SOL_SOCKET, SO_RCVBUF, receiveBuffer),
            (SOL_SOCKET, SO_SNDBUF, sendBuffer),
            (CInt(IPPROTO_TCP), TCP_DEFER_ACCEPT, waitsForBytes ? firstByteDelay : 0),
        ] {
            var value = value
            unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
        }
    }
}
