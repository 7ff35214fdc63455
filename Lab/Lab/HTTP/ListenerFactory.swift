package import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Makes a bound, listening stream socket on a host's address and a port (`0`: any), and gives up its ownership.
///
/// A server of the lab may have to listen inside another network namespace; the code that knows how to enter one
/// supplies the socket.
package typealias ListenerFactory = @Sendable (_ host: String, _ port: Int) throws -> CInt

/// Sockets of the network namespace that the process is in.
package enum LocalListener {
    /// Connections that may wait for `accept`: more than any test opens at once.
    private static let backlog: CInt = 1024

    /// A ``ListenerFactory`` for numeric addresses of the current network namespace.
    package static let factory: ListenerFactory = { host, port in
        try listen(on: SocketAddress(ipAddress: host, port: port))
    }

    /// A listening socket on `address`, with `SO_REUSEADDR` and `SO_REUSEPORT`, so that a server that goes down can
    /// hold its port, and finds it again.
    /// - Throws: `IOError` that names the system call.
    package static func listen(on address: SocketAddress) throws -> CInt {
        let family = address.protocol == .inet6 ? AF_INET6 : AF_INET
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        do {
            var one: CInt = 1
            let size = socklen_t(MemoryLayout<CInt>.size)
            for (option, name) in [(SO_REUSEADDR, "SO_REUSEADDR"), (SO_REUSEPORT, "SO_REUSEPORT")] {
                guard unsafe setsockopt(descriptor, SOL_SOCKET, option, &one, size) == 0 else {
                    throw IOError(errnoCode: errno, reason: "setsockopt \(name)")
                }
            }
            let bound = unsafe address.withSockAddr { pointer, length in
                unsafe bind(descriptor, pointer, socklen_t(length))
            }
            guard bound == 0 else { throw IOError(errnoCode: errno, reason: "bind \(address)") }
            guard startListening(descriptor, backlog) == 0 else {
                throw IOError(errnoCode: errno, reason: "listen \(address)")
            }
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }
}

/// `listen(2)`, whose name the static function above hides.
private func startListening(_ descriptor: CInt, _ backlog: CInt) -> CInt {
    listen(descriptor, backlog)
}
