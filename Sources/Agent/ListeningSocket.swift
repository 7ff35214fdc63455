import Attribution
import Glibc

/// The agent's listening sockets: bound before anything is attached, so that an address in use costs nobody anything, and
/// listening only when they are marked as the agent's, so that whoever hooks of an earlier agent lead here is refused, not
/// accepted and then reset.
enum ListeningSocket {
    /// Connections that the kernel may hold between handshake and accept.
    private static let backlog: CInt = 4096

    /// A bound descriptor, non-blocking, that the caller owns.
    static func open(_ address: AgentConfiguration.Address, port: UInt16, key: String) throws -> CInt {
        let family =
            switch address.value {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            }
        let type = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw failure(key, address, port) }
        var one: CInt = 1
        let length = socklen_t(MemoryLayout<CInt>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, length)
        if family == AF_INET6 {
            unsafe setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &one, length)
        }
        guard bind(descriptor, to: address.value, port: port) == 0 else {
            let error = failure(key, address, port)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Lets connections in. Does no harm to a socket that listens already.
    static func listen(_ descriptor: CInt, _ configuration: AgentConfiguration) throws {
        guard Glibc.listen(descriptor, backlog) == 0 else {
            throw failure("listen.address", configuration.listenAddress, configuration.listenPort)
        }
    }

    private static func bind(
        _ descriptor: CInt, to address: OriginalDestination.Address, port: UInt16
    ) -> CInt {
        switch address {
        case .ipv4(let word):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = word.bigEndian
            return unsafe bind(descriptor, &name)
        case .ipv6(let high, let low):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &name.sin6_addr) { buffer in
                unsafe buffer.storeBytes(of: high.bigEndian, as: UInt64.self)
                unsafe buffer.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return unsafe bind(descriptor, &name)
        }
    }

    @unsafe
    private static func bind<Name>(_ descriptor: CInt, _ name: UnsafeMutablePointer<Name>) -> CInt {
        unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            unsafe Glibc.bind(descriptor, pointer, socklen_t(MemoryLayout<Name>.size))
        }
    }

    private static func failure(_ key: String, _ address: AgentConfiguration.Address, _ port: UInt16)
        -> ConfigurationError
    {
        let hint =
            switch errno {
            case EADDRNOTAVAIL: "it is not an address of this node; set \(key) to one (status.hostIP)"
            case EADDRINUSE: "something listens there already; set listen.port to a free port"
            default: unsafe String(cString: strerror(errno))
            }
        return ConfigurationError("cannot listen on \(address.text) port \(port): \(hint)")
    }
}
