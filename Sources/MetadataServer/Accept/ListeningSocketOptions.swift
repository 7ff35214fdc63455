#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension MetadataServerConfiguration.Limits {
    /// Sets what accepted sockets inherit: answers leave at once, and the kernel keeps little of what a client sends or does
    /// not read. All that the kernel keeps counts for the agent's memory limit.
    func apply(toListeningSocket descriptor: CInt) {
        for (level, option, value) in [
            (CInt(IPPROTO_TCP), TCP_NODELAY, 1), (SOL_SOCKET, SO_RCVBUF, receiveBuffer),
            (SOL_SOCKET, SO_SNDBUF, sendBuffer),
        ] {
            var value = value
            unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
        }
    }
}
